// Storing results as bfloat16 with AVX512_BF16, which rounds two vectors of float32 with one instruction.
#pragma once

#if defined(DISTRI_HAS_BF16)

#include <cstdint>

#include "device/cpu/product_finish.h"

namespace distri::device::cpu {

// sums + addend + residual as bfloat16. `width` is a multiple of 16; `stride` is that of sums.
void StoreRowsBf16(const FinishedRows& rows, Type residual_type, int64_t width, const float* addend,
                   const float* sums, int64_t stride);

}  // namespace distri::device::cpu

#endif
