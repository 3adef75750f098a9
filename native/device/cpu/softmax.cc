#include <algorithm>
#include <limits>

#include "device/cpu/elementwise.h"
#include "device/cpu/lanes.h"
#include "device/cpu/rows.h"
#include "device/cpu/vector_math.h"
#include "device/cpu/walk.h"
#include "ops/levels.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;

// Sums are taken in as many lanes, whatever the width of vectors.
constexpr int64_t kLanes = 16;

struct Loops {
  // The largest of `count` elements and `largest`.
  float (*largest)(const float* row, int64_t count, float largest);
  // row = exp(row - largest), for `count` elements, a multiple of kLanes, that are added to `sums`.
  void (*exponentials)(float* row, int64_t count, float largest, float* sums);
};

DISTRI_INLINE float Largest(const float* row, int64_t count, float largest) {
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < count; ++i) largest = row[i] > largest ? row[i] : largest;
  return largest;
}

template <int W>
DISTRI_INLINE void Exponentials(float* row, int64_t count, float largest, float* sums) {
  for (int64_t i = 0; i < count; i += kLanes) {
#pragma GCC unroll 4
    for (int64_t lane = 0; lane < kLanes; lane += W) {
      const Vector<W> weight = Exp2<W>((Load<W>(row + i + lane) - largest) * kLog2E);
      Store<W>(weight, row + i + lane);
      Store<W>(Load<W>(sums + lane) + weight, sums + lane);
    }
  }
}

#define DISTRI_SOFTMAX_LOOPS(Name, TARGET, W, V)                                               \
  struct Name {                                                                                \
    TARGET static float LargestOf(const float* row, int64_t count, float largest) {            \
      return Largest(row, count, largest);                                                     \
    }                                                                                          \
    TARGET static void ExponentialsOf(float* row, int64_t count, float largest, float* sums) { \
      Exponentials<W>(row, count, largest, sums);                                              \
    }                                                                                          \
    static constexpr Loops kLoops{LargestOf, ExponentialsOf};                                  \
  };

DISTRI_LEVELS(DISTRI_SOFTMAX_LOOPS)

// One row of x and y, a piece at a time. Exponentials are computed twice, so that nothing has to be kept.
class SoftmaxRow {
 public:
  SoftmaxRow(const Strided& x, int64_t x_offset, const Strided& y, int64_t y_offset)
      : x_(x), y_(y), x_offset_(x_offset), y_offset_(y_offset), last_(static_cast<size_t>(x.rank - 1)) {}

  void Run() {
    for (int64_t begin = 0; begin < Count(); begin += kPiece) {
      largest_ = ChosenLoops().largest(row_, Load(begin), largest_);
    }
    float sums[kLanes] = {};
    for (int64_t begin = 0; begin < Count(); begin += kPiece) LoadExponentials(begin, sums);
    float sum = 0;
    for (const float lane : sums) sum += lane;
    float unused[kLanes] = {};
    for (int64_t begin = 0; begin < Count(); begin += kPiece) {
      const int64_t count = LoadExponentials(begin, unused);
      for (int64_t i = 0; i < count; ++i) row_[i] /= sum;
      StoreRow(row_, count, y_.type, At(y_, y_offset_ + begin * y_.strides[last_]), y_.strides[last_]);
    }
  }

 private:
  int64_t Count() const { return x_.shape[last_]; }

  int64_t Load(int64_t begin) {
    const int64_t count = std::min(kPiece, Count() - begin);
    LoadRow(x_.type, At(x_, x_offset_ + begin * x_.strides[last_]), x_.strides[last_], count, row_);
    return count;
  }

  int64_t LoadExponentials(int64_t begin, float* sums) {
    constexpr float kNothing = -1e38f;
    const int64_t count = Load(begin);
    const int64_t computed = (count + kLanes - 1) / kLanes * kLanes;
    std::fill(row_ + count, row_ + computed, kNothing);
    ChosenLoops().exponentials(row_, computed, largest_, sums);
    return count;
  }

  const Strided& x_;
  const Strided& y_;
  int64_t x_offset_;
  int64_t y_offset_;
  size_t last_;
  float largest_ = -std::numeric_limits<float>::infinity();
  alignas(64) float row_[kPiece];
};

}  // namespace

void Softmax(const Strided& x, const Strided& y, Pool& pool) {
  const int64_t rows = Places(x, x.rank - 1);
  pool.Run(rows, [&](int64_t row) {
    SoftmaxRow(x, OffsetOf(x, x.rank - 1, row), y, OffsetOf(y, y.rank - 1, row)).Run();
  });
}

}  // namespace distri::device::cpu
