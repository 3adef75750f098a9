// Normalisations. Statistics are taken in double precision. x and y are of the same type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cpu/column_sums.h"
#include "device/cpu/pool.h"
#include "device/strided.h"

namespace distri::device::cpu {

// Images [images, rows, columns, channels] with channels next to each other; strides in elements.
struct Image {
  std::byte* data = nullptr;
  Type type = Type::kFloat32;
  int64_t images = 0;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t channels = 0;
  int64_t image_stride = 0;
  int64_t row_stride = 0;
  int64_t column_stride = 0;
};

struct Sums {
  double sum;
  double squares;
};

// The sums of each row and group of x into `sums` [images, rows, groups]: of each channel in the order of
// columns, then of channels in their order, whatever rows there are besides.
void SumRows(const Image& x, int64_t groups, Sums* sums, Pool& pool);

// The same of what a product has summed already.
void SumRows(const ColumnSums& x, int64_t images, int64_t all_channels, int64_t groups, Sums* sums,
             Pool& pool);

// The sums of each group of x, of float32, into `sums` [images, groups]: those of each channel in float32 one
// pixel after the other, as torch takes them where channels come last.
void SumChannels(const Image& x, int64_t groups, Sums* sums, Pool& pool);

// Of an image's group.
struct Moments {
  double mean;
  double variance;
};

// y = activation(scale * (x - mean) / sqrt(variance + epsilon) + shift) with `moments` [images, groups]; x
// and y may be the same.
void NormalizeGroups(const Image& x, const Image& y, int64_t groups, const Moments* moments, float epsilon,
                     const float* scale, const float* shift, bool silu, Pool& pool);

// Rows of features next to each other.
struct FeatureRows {
  std::byte* data = nullptr;
  Type type = Type::kFloat32;
  int64_t rows = 0;
  int64_t features = 0;
  int64_t row_stride = 0;
};

// y = (x - mean) / sqrt(variance + epsilon) * scale + shift over the features of each row; scale and shift
// are [features] or null. With modulation: times (1 + image_scale) plus image_shift, which are [images,
// features] with these strides, where row r is of image r / rows_per_image.
struct LayerNorm {
  FeatureRows x;
  FeatureRows y;
  float epsilon = 0;
  const float* scale = nullptr;
  const float* shift = nullptr;
  // Without a mean: x divided by the root of its mean square.
  bool root_mean_square = false;
  int64_t rows_per_image = 1;
  const float* image_scale = nullptr;
  int64_t image_scale_stride = 0;
  const float* image_shift = nullptr;
  int64_t image_shift_stride = 0;
};

void Run(const LayerNorm& norm, Pool& pool);

}  // namespace distri::device::cpu
