#include <algorithm>

#include "device/cpu/elementwise.h"
#include "device/cpu/lanes.h"
#include "device/cpu/rows.h"
#include "device/cpu/walk.h"
#include "ops/levels.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;

struct Loops {
  void (*add)(const float* a, const float* b, int64_t count, float* y);
  void (*multiply)(const float* a, const float* b, int64_t count, float* y);
};

#define DISTRI_COMBINE_LOOPS(Name, TARGET, W, V)                                           \
  struct Name {                                                                            \
    TARGET static void Add(const float* a, const float* b, int64_t count, float* y) {      \
      _Pragma("omp simd") for (int64_t i = 0; i < count; ++i) y[i] = a[i] + b[i];          \
    }                                                                                      \
    TARGET static void Multiply(const float* a, const float* b, int64_t count, float* y) { \
      _Pragma("omp simd") for (int64_t i = 0; i < count; ++i) y[i] = a[i] * b[i];          \
    }                                                                                      \
    static constexpr Loops kLoops{Add, Multiply};                                          \
  };

DISTRI_LEVELS(DISTRI_COMBINE_LOOPS)

// Where a row's elements are as float32: in the row itself or, converted, in `converted`.
const float* Floats(const Strided& x, int64_t offset, int64_t stride, int64_t count, float* converted) {
  if (x.type == Type::kFloat32 && stride == 1) return reinterpret_cast<const float*>(At(x, offset));
  LoadRow(x.type, At(x, offset), stride, count, converted);
  return converted;
}

// The first of the arrays that an array's first dimension counts.
Strided WithoutFirst(const Strided& x) {
  Strided first = x;
  first.rank = x.rank - 1;
  std::copy(x.shape.begin() + 1, x.shape.end(), first.shape.begin());
  std::copy(x.strides.begin() + 1, x.strides.end(), first.strides.begin());
  return first;
}

}  // namespace

void Combine(Binary op, const Strided& a, const Strided& b, const Strided& y, Pool& pool) {
  const auto loop = op == Binary::kAdd ? ChosenLoops().add : ChosenLoops().multiply;
  const Dimensions dimensions({&a, &b, &y});
  const auto strides = dimensions.Innermost().strides;
  Walk(dimensions, pool, [&](const auto& offsets, int64_t count) {
    float converted[2][kPiece];
    const float* left = Floats(a, offsets[0], strides[0], count, converted[0]);
    const float* right = Floats(b, offsets[1], strides[1], count, converted[1]);
    if (y.type == Type::kFloat32 && strides[2] == 1) {
      return loop(left, right, count, reinterpret_cast<float*>(At(y, offsets[2])));
    }
    loop(left, right, count, converted[0]);
    StoreRow(converted[0], count, y.type, At(y, offsets[2]), strides[2]);
  });
}

void Sum(const Strided& x, const Strided& y, Pool& pool) {
  const Strided first = WithoutFirst(x);
  const Dimensions dimensions({&first, &y});
  const auto strides = dimensions.Innermost().strides;
  Walk(dimensions, pool, [&](const auto& offsets, int64_t count) {
    float converted[kPiece];
    float total[kPiece];
    LoadRow(x.type, At(x, offsets[0]), strides[0], count, total);
    for (int64_t part = 1; part < x.shape[0]; ++part) {
      const int64_t offset = offsets[0] + part * x.strides[0];
      ChosenLoops().add(total, Floats(x, offset, strides[0], count, converted), count, total);
    }
    StoreRow(total, count, y.type, At(y, offsets[1]), strides[1]);
  });
}

}  // namespace distri::device::cpu
