// Products with vectors of float32, whatever their width.
#include <algorithm>

#include "device/cpu/product_kernel.h"
#include "ops/levels.h"
#include "ops/math.h"
#include "ops/vectors.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;
using ops::Vector;

// Positions that are computed together, so that each vector of weights that is loaded is used as often.
constexpr int kRows = 6;

// Sums of about so many terms are added up: that is rounded less often than one sum of all.
constexpr int64_t kTermsOfASum = 64;

// Of the elements of the inner dimension whose weights are asked for: as many as the second-level cache takes
// to answer.
constexpr int64_t kAhead = 6;

template <int W>
using Words __attribute__((vector_size(W * sizeof(uint32_t)), aligned(sizeof(uint32_t)))) = uint32_t;
using Pair __attribute__((aligned(2), may_alias)) = uint32_t;

template <int W, int V, int R>
struct Totals {
  Vector<W> at[R][V];

  DISTRI_INLINE void Clear() {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) at[r][v] = Vector<W>{};
  }

  DISTRI_INLINE void AddTo(float* sums, int64_t lanes, bool first) const {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        auto* sum = reinterpret_cast<Vector<W>*>(sums + r * lanes + v * W);
        *sum = first ? at[r][v] : *sum + at[r][v];
      }
  }
};

// Elements one by one.
struct Float32 {
  using Element = float;

  template <int W, int V, int R>
  static DISTRI_INLINE void Multiply(const float* x, int64_t stride, int64_t inner, const float* packed,
                                     int64_t lanes, Totals<W, V, R>& totals) {
#pragma GCC unroll 4
    for (int64_t j = 0; j < inner; ++j) {
      Vector<W> row[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        const float* const weights = packed + j * lanes + v * W;
        row[v] = *reinterpret_cast<const Vector<W>*>(weights);
        if constexpr (V * W == 64) __builtin_prefetch(weights + kAhead * lanes, 0, 3);
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const float factor = x[r * stride + j];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) totals.at[r][v] += factor * row[v];
      }
    }
  }
};

// Pairs of bfloat16, the first in the lower half of a word: made float32 by a shift or a mask.
struct Widening {
  using Element = uint16_t;

  template <int W>
  static DISTRI_INLINE void Widen(const Words<W>& pairs, int half, Vector<W>& floats) {
    floats = reinterpret_cast<Vector<W>>(half == 0 ? pairs << 16 : pairs & 0xffff0000u);
  }

  template <int W, int V, int R, class PairOf>
  static DISTRI_INLINE void MultiplyPair(const PairOf& pair_of, const uint16_t* packed,
                                         Totals<W, V, R>& totals) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      Vector<W> row[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v)
        Widen<W>(*reinterpret_cast<const Words<W>*>(packed + 2 * v * W), half, row[v]);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        Vector<W> factor;
        Widen<W>(Words<W>{} + pair_of(r), half, factor);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) totals.at[r][v] += factor * row[v];
      }
    }
  }

  template <int W, int V, int R>
  static DISTRI_INLINE void Multiply(const uint16_t* x, int64_t stride, int64_t inner, const uint16_t* packed,
                                     int64_t lanes, Totals<W, V, R>& totals) {
    int64_t j = 0;
    for (; j + 1 < inner; j += 2) {
      const auto pair_of = [&](int r) -> uint32_t {
        return *reinterpret_cast<const Pair*>(x + r * stride + j);
      };
      MultiplyPair<W, V, R>(pair_of, packed + j * lanes, totals);
    }
    if (j < inner) {
      const auto pair_of = [&](int r) -> uint32_t { return x[r * stride + j]; };
      MultiplyPair<W, V, R>(pair_of, packed + j * lanes, totals);
    }
  }
};

template <class Elements, int W, int V, int R>
DISTRI_INLINE void MultiplyTile(const Tile& tile, const Chunk& chunk, int64_t lanes, float* sums) {
  using Element = typename Elements::Element;
  const auto* x = reinterpret_cast<const Element*>(tile.stretches[0].x);
  const auto* packed = reinterpret_cast<const Element*>(chunk.packed);
  const int64_t stride = tile.stride / static_cast<int64_t>(sizeof(Element));
  Totals<W, V, R> totals;
  totals.Clear();
  bool first = chunk.first;
  int64_t terms = 0;
  if (chunk.count == 0) totals.AddTo(sums, lanes, first);
  for (int64_t i = 0; i < chunk.count; ++i) {
    const Part& part = chunk.parts[i];
    for (int64_t begin = 0; begin < part.inner; begin += kTermsOfASum) {
      const int64_t inner = std::min(kTermsOfASum, part.inner - begin);
      Elements::template Multiply<W, V, R>(x + part.offset + begin, stride, inner, packed + begin * lanes,
                                           lanes, totals);
      terms += inner;
      const bool last = i + 1 == chunk.count && begin + inner == part.inner;
      if (terms < kTermsOfASum && !last) continue;
      totals.AddTo(sums, lanes, first);
      totals.Clear();
      first = false;
      terms = 0;
    }
    packed += (part.inner + kStep - 1) / kStep * kStep * lanes;
  }
}

// The loops compiled for one instruction set. Each is a function of its own: inlined into one another they
// would have too few registers.
struct Loops {
  ProductKernel float32;
  ProductKernel widening;
};

// The layers that end in colours have few features, for which one vector is enough.
#define DISTRI_PRODUCT_LOOPS(Name, TARGET, W, V)                                                             \
  struct Name {                                                                                              \
    template <class Elements, int Vectors, int R>                                                            \
    TARGET static void Of(const Tile& tile, const Chunk& chunk, float* sums) {                               \
      MultiplyTile<Elements, W, Vectors, R>(tile, chunk, W * V, sums);                                       \
    }                                                                                                        \
    template <class Elements>                                                                                \
    static void Multiply(const Tile& tile, const Chunk& chunk, float* sums, const Meanwhile&) {              \
      using Function = void (*)(const Tile&, const Chunk&, float*);                                          \
      static constexpr Function kFull[kRows] = {Of<Elements, V, 1>, Of<Elements, V, 2>, Of<Elements, V, 3>,  \
                                                Of<Elements, V, 4>, Of<Elements, V, 5>, Of<Elements, V, 6>}; \
      static constexpr Function kSlim[kRows] = {Of<Elements, 1, 1>, Of<Elements, 1, 2>, Of<Elements, 1, 3>,  \
                                                Of<Elements, 1, 4>, Of<Elements, 1, 5>, Of<Elements, 1, 6>}; \
      (chunk.width <= W ? kSlim : kFull)[tile.stretches[0].count - 1](tile, chunk, sums);                    \
    }                                                                                                        \
    static constexpr Loops kLoops{{W * V, kRows, false, Multiply<Float32>, nullptr, nullptr},                \
                                  {W * V, kRows, false, Multiply<Widening>, nullptr, nullptr}};              \
  };

DISTRI_LEVELS(DISTRI_PRODUCT_LOOPS)

}  // namespace

const ProductKernel& Float32Kernel() { return ChosenLoops().float32; }

const ProductKernel& WideningKernel() { return ChosenLoops().widening; }

}  // namespace distri::device::cpu
