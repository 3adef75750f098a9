#include "device/cpu/column_tiles.h"

#include <algorithm>
#include <array>

#include "device/cpu/lanes.h"
#include "device/cpu/product_finish.h"
#include "device/cpu/product_kernel.h"
#include "ops/levels.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;

constexpr int64_t kFeatures = kMaxLanes;

// Of the columns of a tile, or the points of its sums.
using Operands = std::array<const float*, kTilePoints>;

// Of the points that are not 0 or infinity: +-kNear and +-kFar.
constexpr float kNear = 0.625f;
constexpr float kFar = 1.5f;
constexpr float kNearSquare = kNear * kNear;
constexpr float kFarSquare = kFar * kFar;

template <int W>
DISTRI_INLINE void SplitVector(const Vector<W> (&d)[kTilePoints], Vector<W> (&t)[kTilePoints]) {
  constexpr float kProduct = kNearSquare * kFarSquare;
  constexpr float kSum = kNearSquare + kFarSquare;
  const Vector<W> near_even = d[4] - kFarSquare * d[2];
  const Vector<W> near_odd = kNear * (d[3] - kFarSquare * d[1]);
  const Vector<W> far_even = d[4] - kNearSquare * d[2];
  const Vector<W> far_odd = kFar * (d[3] - kNearSquare * d[1]);
  t[0] = kProduct * d[0] - kSum * d[2] + d[4];
  t[1] = near_even + near_odd;
  t[2] = near_even - near_odd;
  t[3] = far_even + far_odd;
  t[4] = far_even - far_odd;
  t[5] = kProduct * d[1] - kSum * d[3] + d[5];
}

template <int W>
DISTRI_INLINE void JoinVector(const Vector<W> (&m)[kTilePoints], Vector<W> (&y)[kTileColumns]) {
  const Vector<W> near_sum = m[1] + m[2];
  const Vector<W> near_difference = m[1] - m[2];
  const Vector<W> far_sum = m[3] + m[4];
  const Vector<W> far_difference = m[3] - m[4];
  y[0] = m[0] + near_sum + far_sum;
  y[1] = kNear * near_difference + kFar * far_difference;
  y[2] = kNearSquare * near_sum + kFarSquare * far_sum;
  y[3] = kNear * kNearSquare * near_difference + kFar * kFarSquare * far_difference + m[5];
}

template <int W>
DISTRI_INLINE void LoadPoints(const Operands& from, int64_t i, size_t left, Vector<W> (&points)[kTilePoints]) {
#pragma GCC unroll 6
  for (size_t p = 0; p < kTilePoints; ++p)
    points[p] = left >= W ? Load<W>(from[p] + i) : LoadSome<W>(from[p] + i, left);
}

template <int W, int N>
DISTRI_INLINE void StorePoints(const Vector<W> (&points)[N], float* to, int64_t stride, size_t left) {
#pragma GCC unroll 6
  for (int p = 0; p < N; ++p) {
    if (left >= W)
      Store<W>(points[p], to + p * stride);
    else
      StoreSome<W>(points[p], to + p * stride, left);
  }
}

struct Loops {
  void (*split)(const Operands& columns, int64_t features, float* tile, int64_t point_stride);
  // Into [columns][kFeatures].
  void (*join)(const Operands& points, int64_t features, float* sums);
};

#define DISTRI_TILE_LOOPS(Name, TARGET, W, V)                                               \
  struct Name {                                                                             \
    TARGET static void Split(const Operands& columns, int64_t features, float* tile,        \
                             int64_t point_stride) {                                        \
      for (int64_t i = 0; i < features; i += W) {                                           \
        Vector<W> d[kTilePoints], t[kTilePoints];                                           \
        LoadPoints<W>(columns, i, static_cast<size_t>(features - i), d);                    \
        SplitVector<W>(d, t);                                                               \
        StorePoints<W>(t, tile + i, point_stride, static_cast<size_t>(features - i));       \
      }                                                                                     \
    }                                                                                       \
    TARGET static void Join(const Operands& points, int64_t features, float* sums) {        \
      for (int64_t i = 0; i < features; i += W) {                                           \
        Vector<W> m[kTilePoints], y[kTileColumns];                                          \
        LoadPoints<W>(points, i, static_cast<size_t>(features - i), m);                     \
        JoinVector<W>(m, y);                                                                \
        StorePoints<W>(y, sums + i, kFeatures, static_cast<size_t>(features - i));          \
      }                                                                                     \
    }                                                                                       \
    static constexpr Loops kLoops{Split, Join};                                             \
  };

DISTRI_LEVELS(DISTRI_TILE_LOOPS)

alignas(64) constexpr float kZeros[kFeatures] = {};

// A tile's features from `first` on, at most kFeatures.
void SplitTile(const float* row, int64_t column_stride, int64_t columns, int64_t first, int64_t count,
               const ColumnTiles& tiles, float* tile) {
  Operands operands;
  for (int64_t column = 0; column < kTilePoints; ++column)
    operands[static_cast<size_t>(column)] = column < columns ? row + column * column_stride + first : kZeros;
  ChosenLoops().split(operands, count, tile + first, tiles.point_stride);
}

std::byte* PlaceOf(const PositionedArray& array, int64_t image, int64_t row, int64_t column, int64_t feature) {
  const int64_t offset =
      image * array.image_stride + row * array.row_stride + column * array.column_stride + feature;
  return array.data + offset * static_cast<int64_t>(ItemBytes(array.type));
}

// Some features of all tiles of a row.
class RowOfResults {
 public:
  RowOfResults(const ColumnTiles& sums, const Product& product, int64_t image, int64_t row)
      : sums_(sums), product_(product), image_(image), row_(row) {}

  void Finish(int64_t first, int64_t count) {
    cpu::Finish finish;
    finish.activation = product_.activation;
    finish.lanes = kFeatures;
    finish.width = count;
    finish.residual_type = product_.residual.type;
    finish.result_type = product_.result.type;
    FindAddend(first, count);
    if (product_.gate) {
      std::copy_n(product_.gate + image_ * product_.gate_stride + first, count, gate_.data());
      finish.gate = gate_.data();
    }
    for (int64_t tile = 0; tile < sums_.tiles; ++tile) {
      alignas(64) float sums[kTileColumns * kFeatures];
      ChosenLoops().join(PointsOf(tile, first), count, sums);
      FinishRows(finish, RowsOf(tile, first), addend_.data(), sums);
    }
  }

 private:
  void FindAddend(int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const float bias = product_.bias ? product_.bias[first + i] : 0;
      const float* shift = product_.shift ? product_.shift + image_ * product_.shift_stride : nullptr;
      addend_[static_cast<size_t>(i)] = shift ? bias + shift[first + i] : bias;
    }
  }

  Operands PointsOf(int64_t tile, int64_t first) const {
    const float* data = sums_.data + image_ * sums_.image_stride + row_ * sums_.row_stride +
                        tile * sums_.tile_stride + first;
    Operands points;
    for (size_t p = 0; p < points.size(); ++p) points[p] = data + static_cast<int64_t>(p) * sums_.point_stride;
    return points;
  }

  FinishedRows RowsOf(int64_t tile, int64_t first) const {
    const int64_t column = tile * kTileColumns;
    const auto stride = [](const PositionedArray& array) {
      return array.column_stride * static_cast<int64_t>(ItemBytes(array.type));
    };
    FinishedRows rows;
    rows.count = std::min(kTileColumns, product_.positions.columns - column);
    rows.result = PlaceOf(product_.result, image_, row_, column, first);
    rows.result_stride = stride(product_.result);
    if (product_.residual.data != nullptr) {
      rows.residual = PlaceOf(product_.residual, image_, row_, column, first);
      rows.residual_stride = stride(product_.residual);
    }
    return rows;
  }

  const ColumnTiles& sums_;
  const Product& product_;
  int64_t image_;
  int64_t row_;
  alignas(64) std::array<float, kFeatures> addend_{};
  alignas(64) std::array<float, kFeatures> gate_{};
};

}  // namespace

void SplitColumns(const PositionedArray& x, int64_t columns, const ColumnTiles& tiles, Pool& pool) {
  pool.Run(tiles.images * tiles.rows, [&](int64_t task) {
    const int64_t image = task / tiles.rows;
    const int64_t row = task % tiles.rows;
    const auto* from = reinterpret_cast<const float*>(PlaceOf(x, image, row, 0, 0));
    float* to = tiles.data + image * tiles.image_stride + row * tiles.row_stride;
    for (int64_t tile = 0; tile < tiles.tiles; ++tile) {
      const int64_t column = tile * kTileColumns;
      for (int64_t first = 0; first < tiles.features; first += kFeatures) {
        SplitTile(from + column * x.column_stride, x.column_stride, columns - column, first,
                  std::min(kFeatures, tiles.features - first), tiles, to + tile * tiles.tile_stride);
      }
    }
  });
}

void JoinColumns(const ColumnTiles& sums, const Product& product, Pool& pool) {
  pool.Run(sums.images * sums.rows, [&](int64_t task) {
    RowOfResults row(sums, product, task / sums.rows, task % sums.rows);
    for (int64_t first = 0; first < sums.features; first += kFeatures)
      row.Finish(first, std::min(kFeatures, sums.features - first));
  });
}

}  // namespace distri::device::cpu
