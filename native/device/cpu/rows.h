// Rows of elements of any type, as float32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/strided.h"

namespace distri::device::cpu {

// Elements that are taken at a time: they stay in the first-level cache.
constexpr int64_t kPiece = 1024;

// row[i] = x[i * stride], for `count` elements.
void LoadRow(Type type, const std::byte* x, int64_t stride, int64_t count, float* row);

// y[i * stride] = row[i], to bfloat16 with rounding to nearest even, to integers towards zero.
void StoreRow(const float* row, int64_t count, Type type, std::byte* y, int64_t stride);

inline std::byte* At(const Strided& array, int64_t offset) {
  return array.data + offset * static_cast<int64_t>(ItemBytes(array.type));
}

}  // namespace distri::device::cpu
