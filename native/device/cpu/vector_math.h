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

}  // namespace distri::device::cpu
