// Elementary functions as straight-line code, so that loops over them vectorise.
//
// Polynomials are Chebyshev interpolations of the exact functions; the errors named are those of the
// polynomial alone, relative, before rounding to float32. native/test/math_test.cc measures the whole.
#pragma once

#include <cstdint>
#include <cstring>

namespace distri::ops {

#define DISTRI_INLINE inline __attribute__((always_inline))

// exp(x + rest) for |x| up to 87, clamped beyond, and |rest| far below 1; a NaN stays one.
DISTRI_INLINE float ExpOfSum(float x, float rest) {
  constexpr float kLimit = 87.0f;
  constexpr float kLog2E = 1.44269504f;
  // ln 2 in two parts, the first exact in products with small integers.
  constexpr float kLn2High = 0.693359375f;
  constexpr float kLn2Low = -2.12194440e-4f;
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the mantissa.
  constexpr float kRound = 12582912.0f;

  x = x > kLimit ? kLimit : x;
  x = x < -kLimit ? -kLimit : x;
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = ((x - n * kLn2High) - n * kLn2Low) + rest;

  // (exp(r) - 1 - r) / r^2 on [-ln2/2, ln2/2], error 1.1e-8.
  float p = 1.3926184e-3f;
  p = p * r + 8.36317893e-3f;
  p = p * r + 4.16665561e-2f;
  p = p * r + 1.66665763e-1f;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;

  uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + 0x3f800000u;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}

DISTRI_INLINE float Exp(float x) { return ExpOfSum(x, 0.0f); }

// exp(-x^2 / 2) for x from 0 to 13, that of 13 beyond. Rounding the square would cost the tail x^2 / 2 units
// in the last place, so it is taken in two parts: of the upper 12 bits of x, which is exact, and of what is
// left.
DISTRI_INLINE float NormalDensity(float x) {
  x = x > 13.0f ? 13.0f : x;
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits &= 0xfffff000u;
  float upper;
  std::memcpy(&upper, &bits, sizeof upper);
  return ExpOfSum(-0.5f * upper * upper, -0.5f * (x - upper) * (x + upper));
}

// x * sigmoid(x).
DISTRI_INLINE float Silu(float x) { return x / (1.0f + Exp(-x)); }

// The standard normal distribution function, (1 + erf(x / sqrt 2)) / 2. The tail is computed by itself, so
// that nothing cancels on the negative side.
DISTRI_INLINE float NormalCdf(float x) {
  const float magnitude = x < 0.0f ? -x : x;
  const float t = 1.0f / (1.0f + 0.25f * magnitude);
  // exp(x^2 / 2) * cdf(-x) / t for x from 0 to 14, error 1.5e-8.
  float p = 1.53836033e-2f;
  p = p * t - 5.63454643e-2f;
  p = p * t + 3.6615255e-2f;
  p = p * t + 4.83180834e-2f;
  p = p * t - 3.67795936e-3f;
  p = p * t + 9.53755683e-2f;
  p = p * t + 6.90116361e-2f;
  p = p * t + 9.61508647e-2f;
  p = p * t + 9.94166231e-2f;
  p = p * t + 9.97517922e-2f;
  const float tail = p * t * NormalDensity(magnitude);
  return x < 0.0f ? tail : 1.0f - tail;
}

// The exact (erf) GELU.
DISTRI_INLINE float Gelu(float x) { return x * NormalCdf(x); }

// x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2.
DISTRI_INLINE float GeluTanh(float x) {
  constexpr float kTwiceRoot = 1.59576912f;
  return x / (1.0f + Exp(-kTwiceRoot * (x + 0.044715f * x * x * x)));
}

// x * sigmoid(1.702 x).
DISTRI_INLINE float QuickGelu(float x) { return x / (1.0f + Exp(-1.702f * x)); }

}  // namespace distri::ops
