#include <algorithm>
#include <cstring>

#include "device/cpu/elementwise.h"
#include "device/cpu/lanes.h"
#include "device/cpu/rows.h"
#include "device/cpu/walk.h"
#include "ops/levels.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;

// Rows and columns of a block that is transposed: two of them stay in the first-level cache.
constexpr int64_t kBlock = 64;

struct Loops {
  // to[j][i] = from[i][j], of kBlock rows and columns.
  void (*transpose)(const float* from, float* to);
};

template <int W>
DISTRI_INLINE void TransposeBlock(const float* from, float* to) {
  for (int64_t i = 0; i < kBlock; i += W) {
    for (int64_t j = 0; j < kBlock; j += W) {
      Vector<W> rows[W];
#pragma GCC unroll 16
      for (int64_t r = 0; r < W; ++r) rows[r] = Load<W>(from + (i + r) * kBlock + j);
      ops::Transpose<W>(rows);
#pragma GCC unroll 16
      for (int64_t r = 0; r < W; ++r) Store<W>(rows[r], to + (j + r) * kBlock + i);
    }
  }
}

#define DISTRI_COPY_LOOPS(Name, TARGET, W, V)                                                   \
  struct Name {                                                                                 \
    TARGET static void Transpose(const float* from, float* to) { TransposeBlock<W>(from, to); } \
    static constexpr Loops kLoops{Transpose};                                                   \
  };

DISTRI_LEVELS(DISTRI_COPY_LOOPS)

// Elements as they are.
template <class T>
void CopyApart(const std::byte* x, int64_t x_stride, std::byte* y, int64_t y_stride, int64_t count) {
  const T* from = reinterpret_cast<const T*>(x);
  T* to = reinterpret_cast<T*>(y);
  for (int64_t i = 0; i < count; ++i) to[i * y_stride] = from[i * x_stride];
}

void CopySame(Type type, const std::byte* x, int64_t x_stride, std::byte* y, int64_t y_stride,
              int64_t count) {
  if (x_stride == 1 && y_stride == 1) {
    std::memcpy(y, x, static_cast<size_t>(count) * ItemBytes(type));
  } else if (type == Type::kBFloat16) {
    CopyApart<uint16_t>(x, x_stride, y, y_stride, count);
  } else if (type == Type::kFloat32) {
    CopyApart<uint32_t>(x, x_stride, y, y_stride, count);
  } else {
    CopyApart<uint64_t>(x, x_stride, y, y_stride, count);
  }
}

void CopyRows(const Strided& x, const Strided& y, const Dimensions& dimensions, Pool& pool) {
  const int64_t x_stride = dimensions.Innermost().strides[0];
  const int64_t y_stride = dimensions.Innermost().strides[1];
  Walk(dimensions, pool, [&](const auto& offsets, int64_t count) {
    const std::byte* from = At(x, offsets[0]);
    std::byte* to = At(y, offsets[1]);
    if (x.type == y.type) return CopySame(x.type, from, x_stride, to, y_stride, count);
    float row[kPiece];
    LoadRow(x.type, from, x_stride, count, row);
    StoreRow(row, count, y.type, to, y_stride);
  });
}

// Blocks of two dimensions: `across`, in which elements of x lie next to each other, and the innermost of y.
class Transposition {
 public:
  Transposition(const Strided& x, const Strided& y, Dimensions dimensions, int across)
      : x_(x),
        y_(y),
        along_(dimensions.Take(dimensions.count() - 1)),
        across_(dimensions.Take(across)),
        outer_(dimensions) {}

  void Run(Pool& pool) const {
    const int64_t columns = Blocks(along_);
    const int64_t blocks = outer_.Elements() * Blocks(across_) * columns;
    constexpr int64_t kBlocksOfTask = kTaskElements / (kBlock * kBlock);
    pool.Run((blocks + kBlocksOfTask - 1) / kBlocksOfTask, [&](int64_t task) {
      const int64_t end = std::min(blocks, (task + 1) * kBlocksOfTask);
      for (int64_t block = task * kBlocksOfTask; block < end; ++block) {
        const int64_t row = block / columns;
        CopyBlock(row / Blocks(across_), row % Blocks(across_) * kBlock, block % columns * kBlock);
      }
    });
  }

 private:
  static int64_t Blocks(const Dimension& dimension) { return (dimension.size + kBlock - 1) / kBlock; }

  void CopyBlock(int64_t outer, int64_t first_across, int64_t first_along) const {
    alignas(64) float from[kBlock * kBlock];
    alignas(64) float to[kBlock * kBlock];
    const auto offsets = outer_.OffsetsOf(outer);
    const int64_t across = std::min(kBlock, across_.size - first_across);
    const int64_t along = std::min(kBlock, along_.size - first_along);
    const int64_t x = offsets[0] + first_across + first_along * along_.strides[0];
    const int64_t y = offsets[1] + first_across * across_.strides[1] + first_along * along_.strides[1];
    for (int64_t i = 0; i < kBlock; ++i) {
      float* row = from + i * kBlock;
      const int64_t loaded = i < along ? across : 0;
      if (loaded > 0) LoadRow(x_.type, At(x_, x + i * along_.strides[0]), 1, loaded, row);
      std::fill(row + loaded, row + kBlock, 0.0f);
    }
    ChosenLoops().transpose(from, to);
    for (int64_t i = 0; i < across; ++i) {
      StoreRow(to + i * kBlock, along, y_.type, At(y_, y + i * across_.strides[1]), along_.strides[1]);
    }
  }

  const Strided& x_;
  const Strided& y_;
  Dimension along_;
  Dimension across_;
  Dimensions outer_;
};

// The dimension in which elements of x lie next to each other, if it is not the innermost; or -1.
int FindAcross(const Dimensions& dimensions) {
  if (dimensions.Innermost().strides[0] == 1 || dimensions.Innermost().strides[0] == 0) return -1;
  for (int d = 0; d + 1 < dimensions.count(); ++d) {
    if (dimensions[d].strides[0] == 1) return d;
  }
  return -1;
}

}  // namespace

void Copy(const Strided& x, const Strided& y, Pool& pool) {
  const Dimensions dimensions({&x, &y});
  const int across = FindAcross(dimensions);
  // Blocks are of float32, which do not hold all integers.
  const bool integers = x.type == Type::kInt64 || y.type == Type::kInt64;
  if (across < 0 || integers) return CopyRows(x, y, dimensions, pool);
  Transposition(x, y, dimensions, across).Run(pool);
}

}  // namespace distri::device::cpu
