// Products of bfloat16 with AVX512_BF16, which adds both products of a pair to a float32.
#if defined(DISTRI_HAS_BF16)

#include <immintrin.h>

#include <cstring>

#include "device/cpu/product_kernel.h"
#include "ops/math.h"

#define DISTRI_BF16 __attribute__((target("arch=x86-64-v4,avx512bf16")))

namespace distri::device::cpu {
namespace {

// Positions that are computed together, so that each vector of weights that is loaded is used as often.
constexpr int kRows = 6;
constexpr int kVectors = 4;
constexpr int64_t kWidth = 16;
constexpr int64_t kLanes = kVectors * kWidth;

template <int V, int R>
DISTRI_BF16 DISTRI_INLINE void MultiplyPair(const uint32_t (&pairs)[R], const uint16_t* packed,
                                            __m512 (&totals)[R][V]) {
  __m512i row[V];
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) row[v] = _mm512_loadu_si512(packed + 2 * kWidth * v);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const auto factor = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(pairs[r])));
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
      totals[r][v] = _mm512_dpbf16_ps(totals[r][v], factor, reinterpret_cast<__m512bh>(row[v]));
  }
}

template <int V, int R>
DISTRI_BF16 DISTRI_INLINE void MultiplyPart(const uint16_t* x, int64_t stride, int64_t inner,
                                            const uint16_t* packed, __m512 (&totals)[R][V]) {
  uint32_t pairs[R] = {};
  int64_t j = 0;
  for (; j + 1 < inner; j += 2) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) std::memcpy(&pairs[r], x + r * stride + j, sizeof pairs[r]);
    MultiplyPair<V, R>(pairs, packed + j * kLanes, totals);
  }
  if (j == inner) return;
  for (int r = 0; r < R; ++r) pairs[r] = x[r * stride + j];
  MultiplyPair<V, R>(pairs, packed + j * kLanes, totals);
}

template <int V, int R>
DISTRI_BF16 void MultiplyTile(const Tile& tile, const Chunk& chunk, float* sums) {
  const auto* x = reinterpret_cast<const uint16_t*>(tile.stretches[0].x);
  const auto* packed = reinterpret_cast<const uint16_t*>(chunk.packed);
  const int64_t stride = tile.stride / static_cast<int64_t>(sizeof *x);
  __m512 totals[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
      totals[r][v] = chunk.first ? _mm512_setzero_ps() : _mm512_loadu_ps(sums + r * kLanes + v * kWidth);
  for (int64_t i = 0; i < chunk.count; ++i) {
    const Part& part = chunk.parts[i];
    MultiplyPart<V, R>(x + part.offset, stride, part.inner, packed, totals);
    packed += (part.inner + kStep - 1) / kStep * kStep * kLanes;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) _mm512_storeu_ps(sums + r * kLanes + v * kWidth, totals[r][v]);
}

using Function = void (*)(const Tile&, const Chunk&, float*);

// One vector is enough for the few features of the layers that end in colours.
template <int V>
constexpr Function kFunctions[kRows] = {MultiplyTile<V, 1>, MultiplyTile<V, 2>, MultiplyTile<V, 3>,
                                        MultiplyTile<V, 4>, MultiplyTile<V, 5>, MultiplyTile<V, 6>};

void Multiply(const Tile& tile, const Chunk& chunk, float* sums, const Meanwhile&) {
  const auto rows = static_cast<size_t>(tile.stretches[0].count - 1);
  (chunk.width <= kWidth ? kFunctions<1> : kFunctions<kVectors>)[rows](tile, chunk, sums);
}

}  // namespace

const ProductKernel& Bf16Kernel() {
  static constexpr ProductKernel kKernel{kLanes, kRows, false, Multiply, nullptr, nullptr};
  return kKernel;
}

}  // namespace distri::device::cpu

#endif
