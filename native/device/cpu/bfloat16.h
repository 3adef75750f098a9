// bfloat16 is the upper half of a float32.
#pragma once

#include <cstdint>
#include <cstring>

#include "ops/math.h"

namespace distri::device::cpu {

DISTRI_INLINE float FromBFloat16(uint16_t value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// Rounds to nearest even; a NaN stays one.
DISTRI_INLINE uint16_t ToBFloat16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u);
  const uint32_t quiet = bits | 0x400000u;
  return static_cast<uint16_t>((x != x ? quiet : rounded) >> 16);
}

}  // namespace distri::device::cpu
