// Elementary functions of vectors of W floats.
#pragma once

#include "device/cpu/lanes.h"

namespace distri::device::cpu {

constexpr float kLog2E = 1.44269504f;

// 2^x, to 2 units in the last place: 0 below 2^-126, at most 2^127, 1 for 0; what is no number stays none.
template <int W>
DISTRI_INLINE Vector<W> Exp2(Vector<W> x) {
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the mantissa.
  constexpr float kRound = 12582912.0f;
  constexpr float kLowest = -126.0f;
  constexpr float kHighest = 127.0f;

  const Vector<W> none{};
  x = x > kHighest ? none + kHighest : x;
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
  return x < kLowest ? none : p * reinterpret_cast<Vector<W>>(power);
}

// x * sigmoid(x).
template <int W>
DISTRI_INLINE Vector<W> Silu(const Vector<W>& x) {
  return x / (1.0f + Exp2<W>(-kLog2E * x));
}

}  // namespace distri::device::cpu
