// Sums over some columns of a row, for each channel: taken by a product of its results while they are in the
// cache, they spare a normalization from reading its whole operand twice.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/strided.h"

namespace distri::device::cpu {

// [images, rows, units, 2 channels]: sums, then sums of squares, in float32, of `columns` columns each, which
// are few and added in their order. Strides in elements.
struct ColumnSums {
  float* data = nullptr;
  int64_t columns = 0;
  int64_t units = 0;
  int64_t rows = 0;
  int64_t image_stride = 0;
  int64_t row_stride = 0;
  int64_t unit_stride = 0;
};

// Units of more columns lose nothing to rounding, and have to divide what a product takes at a time.
constexpr int64_t kMostSummedColumns = 32;

// Adds `count` columns of `width` results, `stride` bytes apart, to what `sums` and `squares` have, or begins
// with them.
void AddColumns(const std::byte* results, Type type, int64_t stride, int64_t count, int64_t width, bool begin,
                float* sums, float* squares);

}  // namespace distri::device::cpu
