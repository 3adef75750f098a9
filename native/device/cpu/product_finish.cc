#include "device/cpu/product_finish.h"

#include <algorithm>
#include <cstring>

#include "device/cpu/bfloat16.h"
#include "device/cpu/product_finish_bf16.h"
#include "device/cpu/product_kernel.h"
#include "ops/levels.h"
#include "ops/math.h"
#include "ops/vectors.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;
using ops::Vector;

alignas(64) constexpr float kZeros[kMaxLanes] = {};

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

// y = function(x + addend), W of each. Of a fixed number and by way of an array of its own, as the compiler
// would otherwise make code for every case in which they overlap.
template <int W, class Function>
DISTRI_INLINE void ActivateVector(const float* x, const float* addend, float* y) {
  float activated[W];
#pragma omp simd
  for (int i = 0; i < W; ++i) activated[i] = Function::Of(x[i] + addend[i]);
  std::memcpy(y, activated, sizeof activated);
}

template <int W, class Function>
DISTRI_INLINE void ActivateRows(int64_t count, int64_t lanes, const float* addend, float* sums) {
  for (int64_t row = 0; row < count; ++row, sums += lanes)
    for (int64_t lane = 0; lane < lanes; lane += W)
      ActivateVector<W, Function>(sums + lane, addend + lane, sums + lane);
}

// Values of the lower lanes times what their gates in the upper ones let through.
template <int W>
DISTRI_INLINE void GateRows(int64_t count, int64_t lanes, const float* addend, float* sums) {
  const int64_t half = lanes / 2;
  for (int64_t row = 0; row < count; ++row, sums += lanes) {
    for (int64_t lane = 0; lane < half; lane += W) {
      float gates[W];
      ActivateVector<W, Gelu>(sums + half + lane, addend + half + lane, gates);
      auto& values = *reinterpret_cast<Vector<W>*>(sums + lane);
      values = (values + *reinterpret_cast<const Vector<W>*>(addend + lane)) *
               *reinterpret_cast<Vector<W>*>(gates);
    }
  }
}

template <int W>
DISTRI_INLINE void MultiplyRows(int64_t count, int64_t lanes, int64_t width, const float* addend,
                                const float* gate, float* sums) {
  for (int64_t row = 0; row < count; ++row, sums += lanes) {
    for (int64_t lane = 0; lane < width; lane += W) {
      auto& values = *reinterpret_cast<Vector<W>*>(sums + lane);
      values = (values + *reinterpret_cast<const Vector<W>*>(addend + lane)) *
               *reinterpret_cast<const Vector<W>*>(gate + lane);
    }
  }
}

template <int W>
using Words __attribute__((vector_size(W * sizeof(uint32_t)))) = uint32_t;
template <int W>
using Halves __attribute__((vector_size(W * sizeof(uint16_t)), aligned(sizeof(uint16_t)), may_alias)) =
    uint16_t;

template <int W>
DISTRI_INLINE void LoadVector(const float* x, Vector<W>& values) {
  values = *reinterpret_cast<const Vector<W>*>(x);
}
template <int W>
DISTRI_INLINE void LoadVector(const uint16_t* x, Vector<W>& values) {
  const auto words = __builtin_convertvector(*reinterpret_cast<const Halves<W>*>(x), Words<W>);
  values = reinterpret_cast<Vector<W>>(words << 16);
}

template <int W>
DISTRI_INLINE void StoreVector(const Vector<W>& values, float* y) {
  *reinterpret_cast<Vector<W>*>(y) = values;
}
// As ToBFloat16.
template <int W>
DISTRI_INLINE void StoreVector(const Vector<W>& values, uint16_t* y) {
  const auto bits = reinterpret_cast<Words<W>>(values);
  const Words<W> rounded = bits + 0x7fffu + (bits >> 16 & 1u);
  const Words<W> quiet = bits | 0x400000u;
  const Words<W> chosen = values != values ? quiet : rounded;
  *reinterpret_cast<Halves<W>*>(y) = __builtin_convertvector(chosen >> 16, Halves<W>);
}

// `width` is a multiple of W; `stride` is that of sums.
template <int W, class Residual, class Result>
DISTRI_INLINE void StoreRows(const FinishedRows& rows, int64_t width, const float* addend, const float* sums,
                             int64_t stride) {
  const std::byte* residual = rows.residual;
  std::byte* result = rows.result;
  for (int64_t row = 0; row < rows.count; ++row) {
    for (int64_t lane = 0; lane < width; lane += W) {
      Vector<W> values = *reinterpret_cast<const Vector<W>*>(sums + lane) +
                         *reinterpret_cast<const Vector<W>*>(addend + lane);
      if (residual) {
        Vector<W> added;
        LoadVector<W>(reinterpret_cast<const Residual*>(residual) + lane, added);
        values += added;
      }
      StoreVector<W>(values, reinterpret_cast<Result*>(result) + lane);
    }
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
  void (*multiply)(int64_t count, int64_t lanes, int64_t width, const float* addend, const float* gate,
                   float* sums);
  // By whether residuals and results are bfloat16.
  StoreAll store[2][2];
};

#define DISTRI_FINISH_LOOPS(Name, TARGET, W, V)                                                     \
  struct Name {                                                                                     \
    template <class Function>                                                                       \
    TARGET static void Of(int64_t count, int64_t lanes, const float* addend, float* sums) {         \
      ActivateRows<W, Function>(count, lanes, addend, sums);                                        \
    }                                                                                               \
    TARGET static void Gate(int64_t count, int64_t lanes, const float* addend, float* sums) {       \
      GateRows<W>(count, lanes, addend, sums);                                                      \
    }                                                                                               \
    TARGET static void Multiply(int64_t count, int64_t lanes, int64_t width, const float* addend,   \
                                const float* gate, float* sums) {                                   \
      MultiplyRows<W>(count, lanes, width, addend, gate, sums);                                     \
    }                                                                                               \
    template <class Residual, class Result>                                                         \
    TARGET static void StoreOf(const FinishedRows& rows, int64_t width, const float* addend,        \
                               const float* sums, int64_t stride) {                                 \
      StoreRows<W, Residual, Result>(rows, width, addend, sums, stride);                            \
    }                                                                                               \
    static constexpr Loops kLoops{{nullptr, Of<Silu>, Of<Gelu>, Of<GeluTanh>, Of<QuickGelu>, Gate}, \
                                  Multiply,                                                         \
                                  {{StoreOf<float, float>, StoreOf<float, uint16_t>},               \
                                   {StoreOf<uint16_t, float>, StoreOf<uint16_t, uint16_t>}}};       \
  };

DISTRI_LEVELS(DISTRI_FINISH_LOOPS)

void Store(const Finish& finish, const FinishedRows& rows, int64_t width, const float* addend,
           const float* sums) {
#if defined(DISTRI_HAS_BF16)
  if (finish.result_type == Type::kBFloat16 && ops::ChosenLevel() >= ops::Level::kBf16)
    return StoreRowsBf16(rows, finish.residual_type, width, addend, sums, finish.lanes);
#endif
  const StoreAll store = ChosenLoops().store[finish.residual_type == Type::kBFloat16][finish.result_type == Type::kBFloat16];
  store(rows, width, addend, sums, finish.lanes);
}

// Of a panel that is narrower than others nothing may be read or written beside it.
void StoreNarrow(const Finish& finish, const FinishedRows& rows, int64_t full, const float* addend,
                 const float* sums) {
  std::byte result[kMaxLanes * sizeof(float)];
  std::byte residual[kMaxLanes * sizeof(float)] = {};
  const auto width = static_cast<size_t>(finish.width);
  for (int64_t row = 0; row < rows.count; ++row) {
    FinishedRows one{1, nullptr, 0, result, 0};
    if (rows.residual) {
      one.residual = residual;
      std::memcpy(residual, rows.residual + row * rows.residual_stride,
                  width * ItemBytes(finish.residual_type));
    }
    Store(finish, one, full, addend, sums + row * finish.lanes);
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
  if (finish.gate) {
    ChosenLoops().multiply(rows.count, finish.lanes, full, addend, finish.gate, sums);
    addend = kZeros;
  }
  if (finish.width < full)
    StoreNarrow(finish, rows, full, addend, sums);
  else
    Store(finish, rows, full, addend, sums);
}

}  // namespace distri::device::cpu
