// Elementary functions of vectors of W floats.
#pragma once

#include "device/cpu/lanes.h"

namespace distri::device::cpu {

constexpr float kLog2E = 1.44269504f;

// 2^x for x up to 127, to 2 units in the last place: 0 for less than 2^-126, 1 for 0; what is no number stays
// none.
template <int W>
DISTRI_INLINE Vector<W> Exp2(const Vector<W>& x) {
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the mantissa.
  constexpr float kRound = 12582912.0f;
  // Whose bits as a power of two are those of zero.
  constexpr float kLowest = -127.0f;

  const Vector<W> none{};
  const Vector<W> clamped = x < kLowest ? none + kLowest : x;
  const Vector<W> shifted = clamped + kRound;
  const Vector<W> r = clamped - (shifted - kRound);

  // (2^r - 1) / r on [-1/2, 1/2], error 2.6e-9.
  Vector<W> p = none + 1.55946782e-4f;
  p = p * r + 1.34066439e-3f;
  p = p * r + 9.61769297e-3f;
  p = p * r + 5.55031055e-2f;
  p = p * r + 2.40226528e-1f;
  p = p * r + 6.93147215e-1f;
  p = p * r + 1.0f;

  const Words<W> power = (reinterpret_cast<Words<W>>(shifted) << 23) + 0x3f800000u;
  return p * reinterpret_cast<Vector<W>>(power);
}

// x * sigmoid(x).
template <int W>
DISTRI_INLINE Vector<W> Silu(const Vector<W>& x) {
  constexpr float kHighest = 127.0f;
  const Vector<W> exponent = -kLog2E * x;
  return x / (1.0f + Exp2<W>(exponent > kHighest ? Vector<W>{} + kHighest : exponent));
}

// 1 + exp(-x) to 7e-6, for |x| up to 2^20; at most 1 + 2^61.
template <int W>
DISTRI_INLINE Vector<W> RoughSigmoidDivisor(const Vector<W>& x) {
  constexpr float kRound = 12582912.0f;
  const Vector<W> exponent = -kLog2E * x;
  const Vector<W> shifted = exponent + kRound;
  const Vector<W> r = exponent - (shifted - kRound);

  // (2^r - 1) / r on [-1/2, 1/2], error 7e-6.
  const Vector<W> none{};
  Vector<W> p = none + 9.65671029e-3f;
  p = p * r + 5.58382829e-2f;
  p = p * r + 2.40225301e-1f;
  p = p * r + 6.93136734e-1f;
  p = p * r + 1.0f;

  // Limited as an integer, which is one instruction: below 2^-127 it is 0.
  using Integers = Whole<W>;
  constexpr int32_t kZero = 0x4b400000;
  const Integers bits = reinterpret_cast<Integers>(shifted);
  const Integers low = Integers{} + (kZero - 127);
  const Integers high = Integers{} + (kZero + 61);
  const Integers least = bits > low ? bits : low;
  const Integers limited = least < high ? least : high;
  const Words<W> power = (reinterpret_cast<Words<W>>(limited) << 23) + 0x3f800000u;
  return p * reinterpret_cast<Vector<W>>(power) + 1.0f;
}

// The same of two vectors for results of bfloat16: with one division, which takes as long as all the rest.
template <int W>
DISTRI_INLINE TwoVectors<W> RoughSilu(const TwoVectors<W>& x) {
  const Vector<W> first = RoughSigmoidDivisor<W>(x.first);
  const Vector<W> second = RoughSigmoidDivisor<W>(x.second);
  const Vector<W> inverse = 1.0f / (first * second);
  return {x.first * (second * inverse), x.second * (first * inverse)};
}

}  // namespace distri::device::cpu
