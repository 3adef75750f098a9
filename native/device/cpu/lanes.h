// Vectors of W float32 from and to memory of either type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "device/cpu/bfloat16.h"
#include "ops/math.h"
#include "ops/vectors.h"

namespace distri::device::cpu {

using ops::Vector;

struct BFloat16 {
  uint16_t bits;
};

template <int W>
using Words __attribute__((vector_size(W * sizeof(uint32_t)))) = uint32_t;
template <int W>
using Whole __attribute__((vector_size(W * sizeof(int32_t)))) = int32_t;
template <int W>
using Halves __attribute__((vector_size(W * sizeof(uint16_t)))) = uint16_t;

// The same where they lie in memory, in whatever array.
template <int W>
using VectorInMemory __attribute__((vector_size(W * sizeof(float)), aligned(1), may_alias)) = float;
template <int W>
using WordsInMemory __attribute__((vector_size(W * sizeof(uint32_t)), aligned(1), may_alias)) = uint32_t;
template <int W>
using HalvesInMemory __attribute__((vector_size(W * sizeof(uint16_t)), aligned(1), may_alias)) = uint16_t;

template <int W>
DISTRI_INLINE Vector<W> Load(const float* x) {
  return *reinterpret_cast<const VectorInMemory<W>*>(x);
}

template <int W>
DISTRI_INLINE Vector<W> Load(const BFloat16* x) {
  const Halves<W> halves = *reinterpret_cast<const HalvesInMemory<W>*>(x);
  return reinterpret_cast<Vector<W>>(__builtin_convertvector(halves, Words<W>) << 16);
}

template <int W>
DISTRI_INLINE void Store(const Vector<W>& v, float* y) {
  *reinterpret_cast<VectorInMemory<W>*>(y) = v;
}

// Rounds to the nearest bfloat16, of two as near to the even one, in the upper halves. What is no number
// stays none.
template <int W>
DISTRI_INLINE Words<W> RoundBits(const Vector<W>& v) {
  const Words<W> bits = reinterpret_cast<Words<W>>(v);
  return v != v ? bits | 0x400000u : bits + 0x7fffu + ((bits >> 16) & 1u);
}

template <int W>
DISTRI_INLINE void Store(const Vector<W>& v, BFloat16* y) {
  *reinterpret_cast<HalvesInMemory<W>*>(y) = __builtin_convertvector(RoundBits<W>(v) >> 16, Halves<W>);
}

// The first `count` lanes; zeros in the others.
template <int W, class T>
DISTRI_INLINE Vector<W> LoadSome(const T* x, size_t count) {
  T padded[W] = {};
  std::memcpy(padded, x, count * sizeof(T));
  return Load<W>(padded);
}

template <int W, class T>
DISTRI_INLINE void StoreSome(const Vector<W>& v, T* y, size_t count) {
  T padded[W];
  Store<W>(v, padded);
  std::memcpy(y, padded, count * sizeof(T));
}

// 2 W elements next to each other, in an order in which they come from and go to memory without moving
// between lanes: of bfloat16 the even and the odd ones, of float32 the first half and the second.
template <int W>
struct TwoVectors {
  Vector<W> first;
  Vector<W> second;
};

template <int W>
DISTRI_INLINE TwoVectors<W> LoadTwo(const float* x) {
  return {Load<W>(x), Load<W>(x + W)};
}

template <int W>
DISTRI_INLINE TwoVectors<W> LoadTwo(const BFloat16* x) {
  const Words<W> pairs = *reinterpret_cast<const WordsInMemory<W>*>(x);
  return {reinterpret_cast<Vector<W>>(pairs << 16), reinterpret_cast<Vector<W>>(pairs & 0xffff0000u)};
}

template <int W>
DISTRI_INLINE void StoreTwo(const TwoVectors<W>& v, float* y) {
  Store<W>(v.first, y);
  Store<W>(v.second, y + W);
}

template <int W>
DISTRI_INLINE void StoreTwo(const TwoVectors<W>& v, BFloat16* y) {
  *reinterpret_cast<WordsInMemory<W>*>(y) =
      (RoundBits<W>(v.first) >> 16) | (RoundBits<W>(v.second) & 0xffff0000u);
}

template <int W, class T>
DISTRI_INLINE TwoVectors<W> LoadSomeOfTwo(const T* x, size_t count) {
  T padded[2 * W] = {};
  std::memcpy(padded, x, count * sizeof(T));
  return LoadTwo<W>(padded);
}

template <int W, class T>
DISTRI_INLINE void StoreSomeOfTwo(const TwoVectors<W>& v, T* y, size_t count) {
  T padded[2 * W];
  StoreTwo<W>(v, padded);
  std::memcpy(y, padded, count * sizeof(T));
}

// Brings `count` numbers, one for each element of type T, to the order of TwoVectors; and back. There is room
// for a multiple of 2 W.
template <int W, class T, class Number>
DISTRI_INLINE void Arrange(Number* x, size_t count) {
  if (sizeof(T) == sizeof(float)) return;
  for (Number* end = x + count; x < end; x += 2 * W) {
    Number before[2 * W];
    std::memcpy(before, x, sizeof before);
    for (size_t i = 0; i < W; ++i) {
      x[i] = before[2 * i];
      x[W + i] = before[2 * i + 1];
    }
  }
}

template <int W, class T, class Number>
DISTRI_INLINE void ArrangeBack(Number* x, size_t count) {
  if (sizeof(T) == sizeof(float)) return;
  for (Number* end = x + count; x < end; x += 2 * W) {
    Number before[2 * W];
    std::memcpy(before, x, sizeof before);
    for (size_t i = 0; i < W; ++i) {
      x[2 * i] = before[i];
      x[2 * i + 1] = before[W + i];
    }
  }
}

DISTRI_INLINE float ToFloat(float x) { return x; }
DISTRI_INLINE float ToFloat(BFloat16 x) { return FromBFloat16(x.bits); }

template <class T>
DISTRI_INLINE T FromFloat(float x);
template <>
DISTRI_INLINE float FromFloat<float>(float x) {
  return x;
}
template <>
DISTRI_INLINE BFloat16 FromFloat<BFloat16>(float x) {
  return {ToBFloat16(x)};
}

}  // namespace distri::device::cpu
