// Matrix products: what convolutions and linear layers spend their time in.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cpu/column_sums.h"
#include "device/cpu/pool.h"
#include "device/strided.h"

namespace distri::device::cpu {

enum class Activation : uint8_t { kNone, kSilu, kGelu, kGeluTanh, kQuickGelu, kGeglu };

// Weights of a product: [features, segments, inner]. A linear layer has one segment, a convolution one for each
// place of its kernel (row by row), with the input channels as inner dimension.
struct WeightShape {
  int64_t features = 0;
  int64_t segments = 1;
  int64_t inner = 0;
  // What is multiplied: float32, or bfloat16 with float32 sums.
  Type type = Type::kFloat32;
  // Kernels have the halves of GEGLU's features next to each other.
  bool geglu = false;
};

// Where the elements of a weight lie as torch keeps it, in elements.
struct WeightSource {
  const std::byte* data = nullptr;
  Type type = Type::kFloat32;
  int64_t feature_stride = 0;
  int64_t segment_stride = 0;
  int64_t inner_stride = 0;
};

// What decides how weights are packed, beside their shape.
struct PackingLayout {
  int version;
  int64_t lanes;
};
PackingLayout LayoutOf(Type type);

// Bytes of packed weights, a multiple of 64.
size_t PackedBytes(const WeightShape& shape);
// Products need `packed` aligned to 64 bytes.
void PackWeights(const WeightShape& shape, const WeightSource& source, std::byte* packed, Pool& pool);

// Positions of a result: [images, rows, columns]. Of tokens there is one image with one row.
struct Positions {
  int64_t images = 1;
  int64_t rows = 1;
  int64_t columns = 1;
};

// An array with features next to each other, and strides in elements between positions.
struct PositionedArray {
  std::byte* data = nullptr;
  Type type = Type::kFloat32;
  int64_t image_stride = 0;
  int64_t row_stride = 0;
  int64_t column_stride = 0;
};

// result = activation(x * weights + bias + shift) * gate + residual, at every position. Sums are in float32, one
// accumulator per element, in an order that follows from segments and inner elements alone (product_order.h): a
// position's result depends on nothing but its own operands.
struct Product {
  Positions positions;
  // Element 0 of segment 0 at position (0, 0, 0). Its type is that of the weights.
  PositionedArray x;
  // For each segment the distance from there, in elements. All segments of all positions can be read.
  const int64_t* segment_offsets = nullptr;
  WeightShape weights;
  const std::byte* packed = nullptr;
  // [features], or null.
  const float* bias = nullptr;
  // [images, features] with this stride between images, or null: what is added to every position of an image.
  const float* shift = nullptr;
  int64_t shift_stride = 0;
  Activation activation = Activation::kNone;
  // [images, results] with this stride between images, or null for ones.
  const float* gate = nullptr;
  int64_t gate_stride = 0;
  // Null data where there is none.
  PositionedArray residual;
  // `features` wide, half of that with kGeglu.
  PositionedArray result;
  // Of the results; null data where nobody wants them. Units are of 8, 16 or 32 columns.
  ColumnSums sums;
};

void Run(const Product& product, Pool& pool);

}  // namespace distri::device::cpu
