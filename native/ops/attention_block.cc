#include "ops/attention_block.h"

#include <algorithm>
#include <cmath>

#include "ops/levels.h"
#include "ops/math.h"
#include "ops/vectors.h"

// Everything is kept transposed: a row of 64 queries per element of a head or per key. So both products have
// the same form, nothing of keys and values has to be repacked, and the softmax of 64 queries is done in 64
// lanes.
namespace distri::ops {
namespace {

// Keys at a time: their scores stay in the first-level cache.
constexpr size_t kKeyBlock = 96;
// Rows of a product that are computed together, so that each vector that is loaded is used as often.
constexpr int kRows = 6;
constexpr float kLowest = kNothingAttended;

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
  Vector<W> total[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      total[r][v] = Vector<W>{};
      if (accumulate) total[r][v] = *reinterpret_cast<const Vector<W>*>(c + r * kQueryBlock + v * W);
    }
  for (size_t j = 0; j < inner; ++j) {
    Vector<W> row[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) row[v] = *reinterpret_cast<const Vector<W>*>(b + j * kQueryBlock + v * W);
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
    for (int v = 0; v < V; ++v) *reinterpret_cast<Vector<W>*>(c + r * kQueryBlock + v * W) = total[r][v];
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

constexpr size_t kWidest = 16;
constexpr float kZeros[kWidest] = {};

// queries[d][q] = scale * source[q][d]; zeros where there is no query.
template <int W>
DISTRI_INLINE void LoadQueries(const AttentionHead& head, const float* source, size_t count, float* queries) {
  for (size_t q = 0; q < kQueryBlock; q += W) {
    size_t d = 0;
    for (; d + W <= head.width; d += W) {
      Vector<W> block[W];
#pragma GCC unroll 16
      for (size_t i = 0; i < W; ++i)
        block[i] =
            *reinterpret_cast<const Vector<W>*>(q + i < count ? source + (q + i) * head.stride + d : kZeros);
      Transpose<W>(block);
#pragma GCC unroll 16
      for (size_t i = 0; i < W; ++i)
        *reinterpret_cast<Vector<W>*>(queries + (d + i) * kQueryBlock + q) = head.scale * block[i];
    }
    for (; d < head.width; ++d)
      for (size_t i = q; i < q + W; ++i)
        queries[d * kQueryBlock + i] = i < count ? head.scale * source[i * head.stride + d] : 0.0f;
  }
}

// out[q][d] = sums[d][q] / sum[q].
template <int W>
DISTRI_INLINE void StoreOut(const AttentionHead& head, const Scratch& s, size_t count, float* out) {
  for (size_t q = 0; q < count; q += W) {
    const size_t rows = std::min<size_t>(W, count - q);
    const Vector<W> inverse = 1.0f / *reinterpret_cast<const Vector<W>*>(s.sum + q);
    size_t d = 0;
    for (; d + W <= head.width; d += W) {
      Vector<W> block[W];
#pragma GCC unroll 16
      for (size_t i = 0; i < W; ++i)
        block[i] = inverse * *reinterpret_cast<const Vector<W>*>(s.out + (d + i) * kQueryBlock + q);
      Transpose<W>(block);
      for (size_t i = 0; i < rows; ++i)
        *reinterpret_cast<Vector<W>*>(out + (q + i) * head.stride + d) = block[i];
    }
    for (; d < head.width; ++d)
      for (size_t i = 0; i < rows; ++i)
        out[(q + i) * head.stride + d] = s.out[d * kQueryBlock + q + i] * inverse[i];
  }
}

// The loops compiled for one instruction set. Each is a function of its own: inlined into one another they
// would have too few registers.
struct Loops {
  // Queries that a tile is wide.
  size_t lanes;
  // For 1 to kRows rows.
  void (*multiply[kRows])(const Strided& a, size_t inner, const float* b, float* c, bool accumulate);
  void (*softmax)(size_t keys, Scratch& s);
  void (*decay)(size_t width, Scratch& s);
  void (*load)(const AttentionHead& head, const float* source, size_t count, float* queries);
  void (*store)(const AttentionHead& head, const Scratch& s, size_t count, float* out);
};

#define DISTRI_ATTENTION_LOOPS(Name, TARGET, W, V)                                                           \
  struct Name {                                                                                              \
    template <int R>                                                                                         \
    TARGET static void Multiply(const Strided& a, size_t inner, const float* b, float* c, bool accumulate) { \
      MultiplyTile<W, V, R>(a, inner, b, c, accumulate);                                                     \
    }                                                                                                        \
    TARGET static void SoftmaxOf(size_t keys, Scratch& s) { Softmax(keys, s); }                              \
    TARGET static void DecayOf(size_t width, Scratch& s) { Decay(width, s); }                                \
    TARGET static void Load(const AttentionHead& head, const float* source, size_t count, float* queries) {  \
      LoadQueries<W>(head, source, count, queries);                                                          \
    }                                                                                                        \
    TARGET static void Store(const AttentionHead& head, const Scratch& s, size_t count, float* out) {        \
      StoreOut<W>(head, s, count, out);                                                                      \
    }                                                                                                        \
    static constexpr Loops kLoops{                                                                           \
        W * V,     {Multiply<1>, Multiply<2>, Multiply<3>, Multiply<4>, Multiply<5>, Multiply<6>},           \
        SoftmaxOf, DecayOf,                                                                                  \
        Load,      Store};                                                                                   \
  };

DISTRI_LEVELS(DISTRI_ATTENTION_LOOPS)

// c (+)= a * b for all 64 queries.
void Multiply(size_t rows, const Strided& a, size_t inner, const float* b, float* c, bool accumulate) {
  const Loops& loops = ChosenLoops();
  for (size_t first = 0; first < kQueryBlock; first += loops.lanes) {
    for (size_t row = 0; row < rows; row += kRows) {
      const Strided part{a.data + row * a.row, a.row, a.column};
      const size_t count = std::min<size_t>(kRows, rows - row);
      loops.multiply[count - 1](part, inner, b + first, c + row * kQueryBlock + first, accumulate);
    }
  }
}

Scratch& ScratchFor(const AttentionHead& head) {
  thread_local Scratch s;
  s.Resize(head.width);
  return s;
}

void BeginWithNothing(const AttentionHead& head, Scratch& s) {
  std::fill(s.out, s.out + head.width * kQueryBlock, 0.0f);
  std::fill(s.maximum, s.maximum + kQueryBlock, kLowest);
  std::fill(s.sum, s.sum + kQueryBlock, 0.0f);
}

// A mean with weights exp(score - log_sum), which add up to one, is a sum with the maximum log_sum.
void BeginWith(const AttentionHead& head, const float* out, const float* log_sums, size_t count, Scratch& s) {
  AttentionHead unscaled{head.width, head.stride, 1.0f, {}};
  ChosenLoops().load(unscaled, out, count, s.out);
  std::fill(std::copy(log_sums, log_sums + count, s.maximum), s.maximum + kQueryBlock, kLowest);
  std::fill(s.sum, s.sum + kQueryBlock, 1.0f);
}

// To the scores of `keys` tokens from one on. Scores below kLowest are as good as it, and finite.
void AddBias(const AttentionBias& bias, size_t first, size_t keys, size_t count, float* scores) {
  if (bias.data == nullptr) return;
  for (size_t k = 0; k < keys; ++k) {
    const float* added = bias.data + (first + k) * bias.key_stride;
    float* row = scores + k * kQueryBlock;
    if (bias.query_stride == 0) {
      const float same = *added;
#pragma omp simd
      for (size_t q = 0; q < kQueryBlock; ++q) row[q] = std::max(row[q] + same, kLowest);
      continue;
    }
    for (size_t q = 0; q < count; ++q) row[q] = std::max(row[q] + added[q * bias.query_stride], kLowest);
  }
}

void Attend(const AttentionHead& head, const float* queries, size_t count, Scratch& s) {
  const Loops& loops = ChosenLoops();
  loops.load(head, queries, count, s.queries);
  size_t before = 0;
  for (const AttentionSegment& segment : head.segments) {
    for (size_t first = 0; first < segment.tokens; first += kKeyBlock) {
      const size_t keys = std::min(kKeyBlock, segment.tokens - first);
      const Strided k{segment.keys + first * head.stride, head.stride, 1};
      const Strided v{segment.values + first * head.stride, 1, head.stride};
      Multiply(keys, k, head.width, s.queries, s.scores, false);
      AddBias(head.bias, before + first, keys, count, s.scores);
      loops.softmax(keys, s);
      loops.decay(head.width, s);
      Multiply(head.width, v, keys, s.scores, s.out, true);
    }
    before += segment.tokens;
  }
}

}  // namespace

void AttendBlock(const AttentionHead& head, const float* queries, size_t count, float* out) {
  Scratch& s = ScratchFor(head);
  BeginWithNothing(head, s);
  Attend(head, queries, count, s);
  ChosenLoops().store(head, s, count, out);
}

void AttendPart(const AttentionHead& head, const float* queries, size_t count, float* out, float* log_sums) {
  Scratch& s = ScratchFor(head);
  if (log_sums[0] == kNothingAttended) {
    BeginWithNothing(head, s);
  } else {
    BeginWith(head, out, log_sums, count, s);
  }
  Attend(head, queries, count, s);
  ChosenLoops().store(head, s, count, out);
  for (size_t q = 0; q < count; ++q) log_sums[q] = s.maximum[q] + std::log(s.sum[q]);
}

}  // namespace distri::ops
