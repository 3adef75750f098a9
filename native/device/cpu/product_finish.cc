#include "device/cpu/product_finish.h"

#include <algorithm>
#include <cstring>

#include "device/cpu/bfloat16.h"
#include "ops/levels.h"
#include "ops/math.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;

constexpr int64_t kMostLanes = 64;
alignas(64) constexpr float kZeros[kMostLanes] = {};

struct Silu {
  static DISTRI_INLINE float Of(float x) { return ops::Silu(x); }
};
struct Gelu {
  static DISTRI_INLINE float Of(float x) { return ops::Gelu(x); }
};
struct GeluTanh {
  static DISTRI_INLINE float Of(float x) { return ops::GeluTanh(x); }
};
struct QuickGelu {
  static DISTRI_INLINE float Of(float x) { return ops::QuickGelu(x); }
};

template <class Function>
DISTRI_INLINE void ActivateRows(int64_t count, int64_t lanes, const float* addend, float* sums) {
  for (int64_t row = 0; row < count; ++row, sums += lanes) {
#pragma omp simd
    for (int64_t i = 0; i < lanes; ++i) sums[i] = Function::Of(sums[i] + addend[i]);
  }
}

// Values of the lower lanes times what their gates in the upper ones let through.
DISTRI_INLINE void GateRows(int64_t count, int64_t lanes, const float* addend, float* sums) {
  const int64_t half = lanes / 2;
  for (int64_t row = 0; row < count; ++row, sums += lanes) {
#pragma omp simd
    for (int64_t i = 0; i < half; ++i)
      sums[i] = (sums[i] + addend[i]) * ops::Gelu(sums[half + i] + addend[half + i]);
  }
}

DISTRI_INLINE float ToFloat(float x) { return x; }
DISTRI_INLINE float ToFloat(uint16_t x) { return FromBFloat16(x); }
DISTRI_INLINE void Store(float x, float* y) { *y = x; }
DISTRI_INLINE void Store(float x, uint16_t* y) { *y = ToBFloat16(x); }

// All of `width`, a multiple of W.
template <int W, class Residual, class Result>
DISTRI_INLINE void StoreRow(int64_t width, const float* sums, const float* addend, const std::byte* residual,
                            std::byte* result) {
  const auto* r = reinterpret_cast<const Residual*>(residual);
  auto* y = reinterpret_cast<Result*>(result);
  for (int64_t lane = 0; lane < width; lane += W) {
#pragma omp simd
    for (int64_t i = lane; i < lane + W; ++i)
      Store(residual ? sums[i] + addend[i] + ToFloat(r[i]) : sums[i] + addend[i], y + i);
  }
}

// `stride` is that of sums; `width` is what of them is stored.
template <int W, class Residual, class Result>
DISTRI_INLINE void StoreRows(const FinishedRows& rows, int64_t width, const float* addend, const float* sums,
                             int64_t stride) {
  const std::byte* residual = rows.residual;
  std::byte* result = rows.result;
  for (int64_t row = 0; row < rows.count; ++row) {
    StoreRow<W, Residual, Result>(width, sums, addend, residual, result);
    sums += stride;
    result += rows.result_stride;
    if (residual) residual += rows.residual_stride;
  }
}

using Activate = void (*)(int64_t count, int64_t lanes, const float* addend, float* sums);
using StoreAll = void (*)(const FinishedRows& rows, int64_t width, const float* addend, const float* sums,
                          int64_t stride);

struct Loops {
  // By activation, the first of which there is nothing to do for.
  Activate activate[6];
  // By whether residuals and results are bfloat16.
  StoreAll store[2][2];
};

#define DISTRI_FINISH_LOOPS(Name, TARGET, W, V)                                                     \
  struct Name {                                                                                     \
    template <class Function>                                                                       \
    TARGET static void Of(int64_t count, int64_t lanes, const float* addend, float* sums) {         \
      ActivateRows<Function>(count, lanes, addend, sums);                                           \
    }                                                                                               \
    TARGET static void Gate(int64_t count, int64_t lanes, const float* addend, float* sums) {       \
      GateRows(count, lanes, addend, sums);                                                         \
    }                                                                                               \
    template <class Residual, class Result>                                                         \
    TARGET static void StoreOf(const FinishedRows& rows, int64_t width, const float* addend,        \
                               const float* sums, int64_t stride) {                                 \
      StoreRows<W, Residual, Result>(rows, width, addend, sums, stride);                            \
    }                                                                                               \
    static constexpr Loops kLoops{{nullptr, Of<Silu>, Of<Gelu>, Of<GeluTanh>, Of<QuickGelu>, Gate}, \
                                  {{StoreOf<float, float>, StoreOf<float, uint16_t>},               \
                                   {StoreOf<uint16_t, float>, StoreOf<uint16_t, uint16_t>}}};       \
  };

DISTRI_LEVELS(DISTRI_FINISH_LOOPS)

StoreAll StoreFor(const Finish& finish) {
  return ChosenLoops().store[finish.residual_type == Type::kBFloat16][finish.result_type == Type::kBFloat16];
}

// Of a panel that is narrower than others nothing may be read or written beside it.
void StoreNarrow(const Finish& finish, const FinishedRows& rows, int64_t full, const float* addend,
                 const float* sums) {
  std::byte result[kMostLanes * sizeof(float)];
  std::byte residual[kMostLanes * sizeof(float)] = {};
  const auto width = static_cast<size_t>(finish.width);
  for (int64_t row = 0; row < rows.count; ++row) {
    FinishedRows one{1, nullptr, 0, result, 0};
    if (rows.residual) {
      one.residual = residual;
      std::memcpy(residual, rows.residual + row * rows.residual_stride,
                  width * ItemBytes(finish.residual_type));
    }
    StoreFor(finish)(one, full, addend, sums + row * finish.lanes, 0);
    std::memcpy(rows.result + row * rows.result_stride, result, width * ItemBytes(finish.result_type));
  }
}

}  // namespace

void FinishRows(const Finish& finish, const FinishedRows& rows, const float* addend, float* sums) {
  const Activate activate = ChosenLoops().activate[static_cast<size_t>(finish.activation)];
  if (activate) {
    activate(rows.count, finish.lanes, addend, sums);
    addend = kZeros;
  }
  const int64_t full = finish.activation == Activation::kGeglu ? finish.lanes / 2 : finish.lanes;
  if (finish.width < full)
    StoreNarrow(finish, rows, full, addend, sums);
  else
    StoreFor(finish)(rows, full, addend, sums, finish.lanes);
}

}  // namespace distri::device::cpu
