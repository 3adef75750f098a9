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

// To the nearest, of two as near to the even one. What is no number stays none.
template <int W>
DISTRI_INLINE Halves<W> Round(const Vector<W>& v) {
  const Words<W> bits = reinterpret_cast<Words<W>>(v);
  const Words<W> rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Words<W> quiet = (bits >> 16) | 0x40u;
  const Words<W> not_a_number = reinterpret_cast<Words<W>>(v != v);
  return __builtin_convertvector((not_a_number & quiet) | (~not_a_number & rounded), Halves<W>);
}

template <int W>
DISTRI_INLINE void Store(const Vector<W>& v, BFloat16* y) {
  *reinterpret_cast<HalvesInMemory<W>*>(y) = Round<W>(v);
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
