// AMX: eight registers that are tiles of up to 16 rows of 64 bytes. The compiler knows nothing of them, so
// that a function has to have written what it reads.
#pragma once

#if defined(DISTRI_HAS_AMX)

#include <cstddef>
#include <cstdint>

#include "ops/math.h"

namespace distri::device::cpu {

// Gives the calling thread tiles of 16 rows of 64 bytes; before that instructions on them fail.
inline void ConfigureTiles() {
  struct alignas(64) Configuration {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  static constexpr Configuration kConfiguration;
  asm volatile("ldtilecfg %0" : : "m"(kConfiguration));
}

// Threads without tiles are cheaper to switch to and from.
inline void ReleaseTiles() { asm volatile("tilerelease"); }

template <int T>
DISTRI_INLINE void ZeroTile() {
  asm volatile("tilezero %%tmm%c0" : : "i"(T));
}

// Rows are `stride` bytes apart.
template <int T>
DISTRI_INLINE void LoadTile(const void* rows, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(rows), "r"(stride), "i"(T) : "memory");
}

// What is not looked for again soon: it does not drive out of the first-level cache what is.
template <int T>
DISTRI_INLINE void LoadPassingTile(const void* rows, int64_t stride) {
  asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" : : "r"(rows), "r"(stride), "i"(T) : "memory");
}

template <int T>
DISTRI_INLINE void StoreTile(void* rows, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(rows), "r"(stride), "i"(T) : "memory");
}

// sums [16][16] += pairs a [16][16] times pairs b [16][16], sums being float32 and pairs bfloat16.
template <int Sums, int A, int B>
DISTRI_INLINE void MultiplyTiles() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sums), "i"(A), "i"(B));
}

}  // namespace distri::device::cpu

#endif
