#include "device/cpu/column_tiles.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "device/cpu/product_mix.h"
#include "test/device/tests.h"

namespace distri::test {
namespace {

using namespace device;
using namespace device::cpu;

constexpr int64_t kImages = 2;
constexpr int64_t kPlaces = 9;
// As src/engine/lowered/column-tiles.ts has them.
constexpr double kNear = 5.0 / 8;
constexpr double kFar = 3.0 / 2;
constexpr double kNearDistances = 2 * kNear * kNear * (kNear * kNear - kFar * kFar);
constexpr double kFarDistances = 2 * kFar * kFar * (kFar * kFar - kNear * kNear);
constexpr double kWeightPoints[kTilePoints][3] = {
    {1 / (kNear * kNear * kFar * kFar), 0, 0},
    {1 / kNearDistances, kNear / kNearDistances, kNear * kNear / kNearDistances},
    {1 / kNearDistances, -kNear / kNearDistances, kNear * kNear / kNearDistances},
    {1 / kFarDistances, kFar / kFarDistances, kFar * kFar / kFarDistances},
    {1 / kFarDistances, -kFar / kFarDistances, kFar * kFar / kFarDistances},
    {0, 0, 1}};

// A 3x3 convolution [images, rows, columns, features] in tiles of columns.
struct Convolution {
  int64_t rows;
  int64_t columns;
  int64_t inner;
  int64_t features;
  std::vector<float> x;
  std::vector<float> weight;
  std::vector<float> bias;
  std::vector<float> shift;
  std::vector<float> gate;
  std::vector<float> residual;

  Convolution(int64_t rows_, int64_t columns_, int64_t inner_, int64_t features_)
      : rows(rows_), columns(columns_), inner(inner_), features(features_) {
    std::mt19937 random(7);
    std::uniform_real_distribution<float> uniform(-1, 1);
    const auto fill = [&](std::vector<float>& values, int64_t count) {
      values.resize(static_cast<size_t>(count));
      for (float& value : values) value = uniform(random);
    };
    fill(x, kImages * (rows + 2) * (columns + 2) * inner);
    fill(weight, features * inner * kPlaces);
    fill(bias, features);
    fill(shift, kImages * features);
    fill(gate, kImages * features);
    fill(residual, kImages * rows * columns * features);
  }

  int64_t Tiles() const { return (columns + kTileColumns - 1) / kTileColumns; }

  double Exact(int64_t image, int64_t row, int64_t column, int64_t feature) const {
    double sum = bias[static_cast<size_t>(feature)] + shift[static_cast<size_t>(image * features + feature)];
    for (int64_t place = 0; place < kPlaces; ++place) {
      const int64_t at = ((image * (rows + 2) + row + place / 3) * (columns + 2) + column + place % 3) * inner;
      for (int64_t i = 0; i < inner; ++i) {
        sum += static_cast<double>(x[static_cast<size_t>(at + i)]) *
               weight[static_cast<size_t>((feature * inner + i) * kPlaces + place)];
      }
    }
    const double silu = sum / (1 + std::exp(-sum));
    const double gated = silu * gate[static_cast<size_t>(image * features + feature)];
    return gated + residual[static_cast<size_t>(((image * rows + row) * columns + column) * features + feature)];
  }

  // Rows from `first` on, [images, count, columns, features].
  std::vector<float> Run(int64_t first, int64_t count, Pool& pool) const {
    std::vector<float> operand(
        static_cast<size_t>(kTilePoints * kImages * (count + 2) * Tiles() * inner),
        std::numeric_limits<float>::quiet_NaN());
    std::vector<float> sums(static_cast<size_t>(kTilePoints * kImages * count * Tiles() * features));
    const ColumnTiles split = TilesOf(operand, count + 2, inner);
    const int64_t pixel_row = (columns + 2) * inner;
    auto* source = const_cast<float*>(x.data()) + first * pixel_row;
    SplitColumns({reinterpret_cast<std::byte*>(source), Type::kFloat32, (rows + 2) * pixel_row, pixel_row, inner},
                 columns + 2, split, pool);
    for (int64_t point = 0; point < kTilePoints; ++point) Multiply(point, split, TilesOf(sums, count, features), pool);
    std::vector<float> result(static_cast<size_t>(kImages * count * columns * features));
    Product finish;
    finish.positions = {kImages, count, columns};
    finish.bias = bias.data();
    finish.shift = shift.data();
    finish.shift_stride = features;
    finish.gate = gate.data();
    finish.gate_stride = features;
    finish.activation = Activation::kSilu;
    const int64_t row = columns * features;
    auto* added = const_cast<float*>(residual.data()) + first * row;
    finish.residual = {reinterpret_cast<std::byte*>(added), Type::kFloat32, rows * row, row, features};
    finish.result = {reinterpret_cast<std::byte*>(result.data()), Type::kFloat32, count * row, row, features};
    JoinColumns(TilesOf(sums, count, features), finish, pool);
    return result;
  }

 private:
  ColumnTiles TilesOf(std::vector<float>& data, int64_t count, int64_t channels) const {
    const int64_t row = Tiles() * channels;
    return {data.data(), kImages, count, Tiles(), channels, kImages * count * row, count * row, row, channels};
  }

  void Multiply(int64_t point, const ColumnTiles& x, const ColumnTiles& y, Pool& pool) const {
    std::vector<double> factors(3 * kPlaces);
    for (size_t place = 0; place < kPlaces; ++place)
      factors[place / 3 * kPlaces + place] = kWeightPoints[point][place % 3];
    const WeightShape shape{features, 3, inner, Type::kFloat32, false};
    const WeightSource source{reinterpret_cast<const std::byte*>(weight.data()), Type::kFloat32, inner * kPlaces, 1,
                              kPlaces};
    const std::vector<float> mixed = MixSegments(shape, source, factors, pool);
    std::vector<float> memory(PackedBytes(shape) / sizeof(float) + 16);
    auto* packed = reinterpret_cast<std::byte*>(memory.data());
    packed += (64 - reinterpret_cast<uintptr_t>(packed) % 64) % 64;
    PackWeights(shape, {reinterpret_cast<const std::byte*>(mixed.data()), Type::kFloat32, inner * 3, 1, 3}, packed,
                pool);
    const int64_t offsets[] = {0, x.row_stride, 2 * x.row_stride};
    Product product;
    product.positions = {kImages, y.rows, y.tiles};
    product.x = Positioned(x, point);
    product.segment_offsets = offsets;
    product.weights = shape;
    product.packed = packed;
    product.result = Positioned(y, point);
    cpu::Run(product, pool);
  }

  static PositionedArray Positioned(const ColumnTiles& tiles, int64_t point) {
    return {reinterpret_cast<std::byte*>(tiles.data + point * tiles.point_stride), Type::kFloat32,
            tiles.image_stride, tiles.row_stride, tiles.tile_stride};
  }
};

void ConvolutionsInTilesOfColumnsAreRight() {
  Pool pool(2);
  for (const auto& [rows, columns, inner, features] : std::vector<std::array<int64_t, 4>>{
           {3, 8, 32, 32}, {2, 9, 35, 70}, {5, 3, 96, 64}, {1, 15, 8, 1}, {4, 6, 256, 33}}) {
    const Convolution convolution(rows, columns, inner, features);
    const std::vector<float> result = convolution.Run(0, rows, pool);
    // Of as many terms of about one a direct sum in float32 is as far off as a tenth of this.
    const double allowed = 1e-6 * std::sqrt(static_cast<double>(kPlaces * inner)) * 4;
    double worst = 0;
    for (int64_t i = 0; i < static_cast<int64_t>(result.size()); ++i) {
      const int64_t position = i / features;
      const double exact = convolution.Exact(position / columns / rows, position / columns % rows,
                                             position % columns, i % features);
      worst = std::max(worst, std::abs(exact - result[static_cast<size_t>(i)]));
    }
    Check(worst < allowed, "off by " + std::to_string(worst) + " of " + std::to_string(allowed) + " with " +
                               std::to_string(columns) + " columns");
  }
}

void RowsInTilesOfColumnsDependOnNoOthers() {
  constexpr int64_t kRows = 7;
  const Convolution convolution(kRows, 10, 40, 36);
  const int64_t row = convolution.columns * convolution.features;
  Pool pool(3);
  Pool alone(1);
  const std::vector<float> whole = convolution.Run(0, kRows, pool);
  for (const auto& [first, count] : std::vector<std::array<int64_t, 2>>{{0, 3}, {3, 1}, {1, 6}}) {
    const std::vector<float> band = convolution.Run(first, count, alone);
    for (int64_t image = 0; image < kImages; ++image) {
      Check(std::equal(band.begin() + image * count * row, band.begin() + (image + 1) * count * row,
                       whole.begin() + (image * kRows + first) * row),
            "a band has the bits of the whole");
    }
  }
}

const AddTests added({DISTRI_TEST(ConvolutionsInTilesOfColumnsAreRight),
                      DISTRI_TEST(RowsInTilesOfColumnsDependOnNoOthers)});

}  // namespace
}  // namespace distri::test
