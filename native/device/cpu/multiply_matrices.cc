#include <algorithm>

#include "device/cpu/elementwise.h"
#include "device/cpu/lanes.h"
#include "device/cpu/rows.h"
#include "device/cpu/walk.h"
#include "ops/levels.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;

// A block of the result, and how much of the inner dimension is taken at a time.
constexpr int64_t kRows = 16;
constexpr int64_t kColumns = 64;
constexpr int64_t kInner = 64;

struct Loops {
  // sums[i][j] += a[i][k] * b[k][j] for `inner` k.
  void (*multiply)(const float* a, const float* b, int64_t inner, float* sums);
};

// Four rows of W columns at a time.
template <int W>
DISTRI_INLINE void MultiplyBlock(const float* a, const float* b, int64_t inner, float* sums) {
  constexpr int64_t kTile = 4;
  for (int64_t i = 0; i < kRows; i += kTile) {
    for (int64_t j = 0; j < kColumns; j += W) {
      Vector<W> total[kTile];
#pragma GCC unroll 4
      for (int64_t r = 0; r < kTile; ++r) total[r] = Vector<W>{};
      for (int64_t k = 0; k < inner; ++k) {
        const Vector<W> row = Load<W>(b + k * kColumns + j);
#pragma GCC unroll 4
        for (int64_t r = 0; r < kTile; ++r) total[r] += a[(i + r) * kInner + k] * row;
      }
#pragma GCC unroll 4
      for (int64_t r = 0; r < kTile; ++r) {
        float* place = sums + (i + r) * kColumns + j;
        Store<W>(Load<W>(place) + total[r], place);
      }
    }
  }
}

#define DISTRI_MATRIX_LOOPS(Name, TARGET, W, V)                                               \
  struct Name {                                                                               \
    TARGET static void Multiply(const float* a, const float* b, int64_t inner, float* sums) { \
      MultiplyBlock<W>(a, b, inner, sums);                                                    \
    }                                                                                         \
    static constexpr Loops kLoops{Multiply};                                                  \
  };

DISTRI_LEVELS(DISTRI_MATRIX_LOOPS)

// One of the matrices in an array's last two dimensions.
struct Matrix {
  const Strided& array;
  int64_t offset;
  int64_t row_stride;
  int64_t column_stride;

  Matrix(const Strided& array_, int64_t index)
      : array(array_),
        offset(OffsetOf(array_, array_.rank - 2, index)),
        row_stride(array_.strides[static_cast<size_t>(array_.rank - 2)]),
        column_stride(array_.strides[static_cast<size_t>(array_.rank - 1)]) {}

  std::byte* Row(int64_t row, int64_t column) const {
    return At(array, offset + row * row_stride + column * column_stride);
  }
};

// Part of a matrix, in rows of `width`, with zeros where it has no elements.
void LoadBlock(const Matrix& matrix, int64_t row, int64_t rows, int64_t all_rows, int64_t column,
               int64_t columns, int64_t width, float* block) {
  for (int64_t i = 0; i < all_rows; ++i) {
    const int64_t loaded = i < rows ? columns : 0;
    if (loaded > 0) {
      LoadRow(matrix.array.type, matrix.Row(row + i, column), matrix.column_stride, loaded,
              block + i * width);
    }
    std::fill(block + i * width + loaded, block + (i + 1) * width, 0.0f);
  }
}

void MultiplyPart(const Matrix& a, const Matrix& b, const Matrix& c, int64_t inner, int64_t row, int64_t rows,
                  int64_t column, int64_t columns) {
  alignas(64) float a_block[kRows * kInner];
  alignas(64) float b_block[kInner * kColumns];
  alignas(64) float sums[kRows * kColumns] = {};
  for (int64_t begin = 0; begin < inner; begin += kInner) {
    const int64_t count = std::min(kInner, inner - begin);
    LoadBlock(a, row, rows, kRows, begin, count, kInner, a_block);
    LoadBlock(b, begin, count, count, column, columns, kColumns, b_block);
    ChosenLoops().multiply(a_block, b_block, count, sums);
  }
  for (int64_t i = 0; i < rows; ++i) {
    StoreRow(sums + i * kColumns, columns, c.array.type, c.Row(row + i, column), c.column_stride);
  }
}

}  // namespace

void MultiplyMatrices(const Strided& a, const Strided& b, const Strided& c, Pool& pool) {
  const auto last = static_cast<size_t>(c.rank - 1);
  const int64_t rows = c.shape[last - 1];
  const int64_t columns = c.shape[last];
  const int64_t inner = a.shape[last];
  const int64_t row_blocks = (rows + kRows - 1) / kRows;
  const int64_t column_blocks = (columns + kColumns - 1) / kColumns;
  pool.Run(Places(c, c.rank - 2) * row_blocks * column_blocks, [&](int64_t task) {
    const int64_t matrix = task / column_blocks / row_blocks;
    const int64_t row = task / column_blocks % row_blocks * kRows;
    const int64_t column = task % column_blocks * kColumns;
    MultiplyPart(Matrix(a, matrix), Matrix(b, matrix), Matrix(c, matrix), inner, row,
                 std::min(kRows, rows - row), column, std::min(kColumns, columns - column));
  });
}

}  // namespace distri::device::cpu
