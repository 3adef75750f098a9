#include "ops/attention_block.h"

#include <algorithm>

#include "ops/math.h"

// Everything is kept transposed: a row of 64 queries per element of a head or per key. So both products have
// the same form, nothing of keys and values has to be repacked, and the softmax of 64 queries is done in 64
// lanes.
namespace distri::ops {
namespace {

// Keys at a time: their scores stay in the first-level cache.
constexpr size_t kKeyBlock = 96;
// Rows of a product that are computed together, so that each vector that is loaded is used as often.
constexpr int kRows = 6;
constexpr float kLowest = -1e30f;

// Room for one block; one per thread, kept.
struct Scratch {
  std::vector<float> floats;
  float* queries;
  float* scores;
  float* out;
  float* maximum;
  float* sum;
  float* decay;

  void Resize(size_t width) {
    floats.resize((2 * width + kKeyBlock + 3) * kQueryBlock);
    queries = floats.data();
    out = queries + width * kQueryBlock;
    scores = out + width * kQueryBlock;
    maximum = scores + kKeyBlock * kQueryBlock;
    sum = maximum + kQueryBlock;
    decay = sum + kQueryBlock;
  }
};

// A matrix whose element (i, j) lies at data[i * row + j * column].
struct Strided {
  const float* data;
  size_t row;
  size_t column;
};

// c[i][q] (+)= sum over j of a(i, j) * b[j][q], for R rows i and V vectors of W lanes q.
template <int W, int V, int R>
DISTRI_INLINE void MultiplyTile(const Strided& a, size_t inner, const float* b, float* c, bool accumulate) {
  typedef float Vector __attribute__((vector_size(W * sizeof(float)), aligned(sizeof(float))));
  Vector total[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      total[r][v] = Vector{};
      if (accumulate) total[r][v] = *reinterpret_cast<const Vector*>(c + r * kQueryBlock + v * W);
    }
  for (size_t j = 0; j < inner; ++j) {
    Vector row[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) row[v] = *reinterpret_cast<const Vector*>(b + j * kQueryBlock + v * W);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const float factor = a.data[r * a.row + j * a.column];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) total[r][v] += factor * row[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) *reinterpret_cast<Vector*>(c + r * kQueryBlock + v * W) = total[r][v];
}

template <int W, int V>
DISTRI_INLINE void MultiplyRows(size_t rows, const Strided& a, size_t inner, const float* b, float* c,
                                bool accumulate) {
  size_t row = 0;
  for (; row + kRows <= rows; row += kRows)
    MultiplyTile<W, V, kRows>({a.data + row * a.row, a.row, a.column}, inner, b, c + row * kQueryBlock,
                              accumulate);
  for (; row < rows; ++row)
    MultiplyTile<W, V, 1>({a.data + row * a.row, a.row, a.column}, inner, b, c + row * kQueryBlock,
                          accumulate);
}

// c (+)= a * b for all 64 queries.
template <int W, int V>
DISTRI_INLINE void Multiply(size_t rows, const Strided& a, size_t inner, const float* b, float* c,
                            bool accumulate) {
  for (size_t first = 0; first < kQueryBlock; first += W * V)
    MultiplyRows<W, V>(rows, a, inner, b + first, c + first, accumulate);
}

// Scores [keys][64] become weights relative to the largest so far; what was summed before is to be multiplied
// by `decay`.
DISTRI_INLINE void Softmax(size_t keys, Scratch& s) {
  float largest[kQueryBlock];
#pragma omp simd
  for (size_t q = 0; q < kQueryBlock; ++q) largest[q] = s.maximum[q];
  for (size_t k = 0; k < keys; ++k) {
    const float* row = s.scores + k * kQueryBlock;
#pragma omp simd
    for (size_t q = 0; q < kQueryBlock; ++q) largest[q] = row[q] > largest[q] ? row[q] : largest[q];
  }
#pragma omp simd
  for (size_t q = 0; q < kQueryBlock; ++q) {
    s.decay[q] = Exp(s.maximum[q] - largest[q]);
    s.maximum[q] = largest[q];
    s.sum[q] *= s.decay[q];
  }
  for (size_t k = 0; k < keys; ++k) {
    float* row = s.scores + k * kQueryBlock;
#pragma omp simd
    for (size_t q = 0; q < kQueryBlock; ++q) {
      row[q] = Exp(row[q] - largest[q]);
      s.sum[q] += row[q];
    }
  }
}

DISTRI_INLINE void Decay(size_t width, Scratch& s) {
  for (size_t d = 0; d < width; ++d) {
    float* row = s.out + d * kQueryBlock;
#pragma omp simd
    for (size_t q = 0; q < kQueryBlock; ++q) row[q] *= s.decay[q];
  }
}

DISTRI_INLINE void LoadQueries(const AttentionHead& head, const float* queries, size_t count, Scratch& s) {
  std::fill(s.queries, s.queries + head.width * kQueryBlock, 0.0f);
  for (size_t q = 0; q < count; ++q)
    for (size_t d = 0; d < head.width; ++d)
      s.queries[d * kQueryBlock + q] = head.scale * queries[q * head.stride + d];
}

DISTRI_INLINE void StoreOut(const AttentionHead& head, const Scratch& s, size_t count, float* out) {
  for (size_t q = 0; q < count; ++q) {
    const float inverse = 1.0f / s.sum[q];
    for (size_t d = 0; d < head.width; ++d) out[q * head.stride + d] = s.out[d * kQueryBlock + q] * inverse;
  }
}

template <int W, int V>
DISTRI_INLINE void Attend(const AttentionHead& head, const float* queries, size_t count, float* out) {
  thread_local Scratch s;
  s.Resize(head.width);
  LoadQueries(head, queries, count, s);
  std::fill(s.out, s.out + head.width * kQueryBlock, 0.0f);
  std::fill(s.maximum, s.maximum + kQueryBlock, kLowest);
  std::fill(s.sum, s.sum + kQueryBlock, 0.0f);
  for (const AttentionSegment& segment : head.segments) {
    for (size_t first = 0; first < segment.tokens; first += kKeyBlock) {
      const size_t keys = std::min(kKeyBlock, segment.tokens - first);
      const Strided k{segment.keys + first * head.stride, head.stride, 1};
      const Strided v{segment.values + first * head.stride, 1, head.stride};
      Multiply<W, V>(keys, k, head.width, s.queries, s.scores, false);
      Softmax(keys, s);
      Decay(head.width, s);
      Multiply<W, V>(head.width, v, keys, s.scores, s.out, true);
    }
  }
  StoreOut(head, s, count, out);
}

using Function = void (*)(const AttentionHead&, const float*, size_t, float*);

// Vectors of four floats: SSE2, NEON.
void AttendNarrow(const AttentionHead& head, const float* queries, size_t count, float* out) {
  Attend<4, 2>(head, queries, count, out);
}

#if defined(__x86_64__) && defined(DISTRI_CLONES)

__attribute__((target("arch=x86-64-v3"))) void AttendV3(const AttentionHead& head, const float* queries,
                                                        size_t count, float* out) {
  Attend<8, 2>(head, queries, count, out);
}

__attribute__((target("arch=x86-64-v4"))) void AttendV4(const AttentionHead& head, const float* queries,
                                                        size_t count, float* out) {
  Attend<16, 4>(head, queries, count, out);
}

Function Choose() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) return AttendV4;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return AttendV3;
  return AttendNarrow;
}

#else

Function Choose() { return AttendNarrow; }

#endif

}  // namespace

void AttendBlock(const AttentionHead& head, const float* queries, size_t count, float* out) {
  static const Function function = Choose();
  function(head, queries, count, out);
}

}  // namespace distri::ops
