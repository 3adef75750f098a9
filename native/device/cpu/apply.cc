#include <algorithm>
#include <cmath>

#include "device/cpu/elementwise.h"
#include "device/cpu/rows.h"
#include "device/cpu/walk.h"
#include "ops/levels.h"
#include "ops/math.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;

// Elements that are always computed together, so that none is computed as what is left over by vectors.
constexpr int64_t kTogether = 16;
static_assert(kPiece % kTogether == 0, "a piece has room for what is computed together");

// In place.
using Loop = void (*)(float* row, int64_t count);

struct Loops {
  Loop silu;
  Loop quick_gelu;
  Loop gelu;
  Loop gelu_tanh;
};

template <float (*F)(float)>
DISTRI_INLINE void MapRow(float* row, int64_t count) {
  for (int64_t i = 0; i < count; i += kTogether) {
#pragma omp simd
    for (int64_t lane = 0; lane < kTogether; ++lane) row[i + lane] = F(row[i + lane]);
  }
}

#define DISTRI_APPLY_LOOPS(Name, TARGET, W, V)                                                        \
  struct Name {                                                                                       \
    TARGET static void SiluOf(float* row, int64_t count) { MapRow<ops::Silu>(row, count); }           \
    TARGET static void QuickGeluOf(float* row, int64_t count) { MapRow<ops::QuickGelu>(row, count); } \
    TARGET static void GeluOf(float* row, int64_t count) { MapRow<ops::Gelu>(row, count); }           \
    TARGET static void GeluTanhOf(float* row, int64_t count) { MapRow<ops::GeluTanh>(row, count); }   \
    static constexpr Loops kLoops{SiluOf, QuickGeluOf, GeluOf, GeluTanhOf};                           \
  };

DISTRI_LEVELS(DISTRI_APPLY_LOOPS)

void SineOf(float* row, int64_t count) {
  for (int64_t i = 0; i < count; ++i) row[i] = std::sin(row[i]);
}

void CosineOf(float* row, int64_t count) {
  for (int64_t i = 0; i < count; ++i) row[i] = std::cos(row[i]);
}

Loop LoopOf(Unary op) {
  switch (op) {
    case Unary::kSilu:
      return ChosenLoops().silu;
    case Unary::kQuickGelu:
      return ChosenLoops().quick_gelu;
    case Unary::kGelu:
      return ChosenLoops().gelu;
    case Unary::kGeluTanh:
      return ChosenLoops().gelu_tanh;
    case Unary::kSine:
      return SineOf;
    case Unary::kCosine:
      break;
  }
  return CosineOf;
}

}  // namespace

void Apply(Unary op, const Strided& x, const Strided& y, Pool& pool) {
  const Loop loop = LoopOf(op);
  const Dimensions dimensions({&x, &y});
  const auto strides = dimensions.Innermost().strides;
  Walk(dimensions, pool, [&](const auto& offsets, int64_t count) {
    alignas(64) float row[kPiece];
    LoadRow(x.type, At(x, offsets[0]), strides[0], count, row);
    const int64_t computed = (count + kTogether - 1) / kTogether * kTogether;
    std::fill(row + count, row + computed, 0.0f);
    loop(row, computed);
    StoreRow(row, count, y.type, At(y, offsets[1]), strides[1]);
  });
}

}  // namespace distri::device::cpu
