// Attention of bfloat16, whose products are of pairs of elements: of a head's for scores, of keys for sums.
// Scores and sums are float32, weights are rounded to bfloat16.
#if defined(DISTRI_HAS_BF16)

#include "device/cpu/attention_bf16.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "device/cpu/lanes.h"

#define DISTRI_BF16 __attribute__((target("arch=x86-64-v4,avx512bf16")))

namespace distri::device::cpu {
namespace {

constexpr int kWidth = 16;
constexpr int kVectors = kQueries / kWidth;
// Rows of a product that are computed together, so that each vector that is loaded is used as often.
constexpr int kRows = 6;
constexpr int64_t kPairBytes = 4;
// GCC 12 warns of intrinsics without a mask that the lanes they leave out are not initialised.
constexpr __mmask16 kAllLanes = 0xffff;

// 2^x to 3e-6, where 2^0 is 1: weights are rounded to 2e-3 afterwards.
DISTRI_BF16 DISTRI_INLINE __m512 Exp2ForBFloat16(__m512 x) {
  constexpr int kWithoutFloor = 0x01;
  const __m512 r = _mm512_maskz_reduce_ps(kAllLanes, x, kWithoutFloor);
  __m512 p = _mm512_set1_ps(1.34266843e-2f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.22424743e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.41280205e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.93044845e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_maskz_scalef_ps(kAllLanes, p, x);
}

// words[i][j] = words of row j, word i; of 16 rows and columns.
DISTRI_BF16 DISTRI_INLINE void StoreTransposed(Vector<kWidth> (&block)[kWidth], std::byte* words,
                                               int64_t stride) {
  ops::Transpose<kWidth>(block);
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; ++i) _mm512_storeu_ps(words + i * stride, block[i]);
}

// As many halves as there are, zeros in the others.
DISTRI_BF16 DISTRI_INLINE Words<kWidth> LoadHalves(const std::byte* row, int64_t count) {
  const auto mask = static_cast<__mmask16>((1u << std::clamp<int64_t>(count, 0, kWidth)) - 1);
  const auto halves = reinterpret_cast<Halves<kWidth>>(_mm256_maskz_loadu_epi16(mask, row));
  return __builtin_convertvector(halves, Words<kWidth>);
}

// values[d][key] of 32 keys.
DISTRI_BF16 void PackValues(const std::byte* const* rows, int64_t keys, int64_t head_size, std::byte* values,
                            int64_t stride) {
  for (int64_t d = 0; d < head_size; d += kWidth) {
    Vector<kWidth> block[kWidth];
#pragma GCC unroll 16
    for (int64_t i = 0; i < kWidth; ++i) {
      Words<kWidth> pairs{};
      if (2 * i < keys) pairs = LoadHalves(rows[2 * i] + 2 * d, head_size - d);
      if (2 * i + 1 < keys) pairs |= LoadHalves(rows[2 * i + 1] + 2 * d, head_size - d) << 16;
      block[i] = reinterpret_cast<Vector<kWidth>>(pairs);
    }
    StoreTransposed(block, values + d * stride, stride);
  }
}

void PackKeys(const KeyRows& rows, std::byte* packed) {
  const Bf16Layout layout(rows.head_size);
  const auto bytes = static_cast<size_t>(rows.head_size * Bf16Layout::kItem);
  std::memset(packed, 0, static_cast<size_t>(Bf16Layout::PackedKeys(rows.count) * layout.key_bytes));
  for (int64_t i = 0; i < rows.count; ++i) std::memcpy(packed + i * layout.key_bytes, rows.keys[i], bytes);
}

void Pack(const KeyRows& rows, std::byte* keys, std::byte* values) {
  PackKeys(rows, keys);
  const int64_t stride = Bf16Layout::PackedKeys(rows.count) * Bf16Layout::kItem;
  for (int64_t key = 0; key < rows.count; key += Bf16Layout::kMultiple) {
    PackValues(rows.values + key, std::min(Bf16Layout::kMultiple, rows.count - key), rows.head_size,
               values + key * Bf16Layout::kItem, stride);
  }
}

DISTRI_BF16 void LoadQueries(const QueryRows& rows, float, const QueryState& state) {
  const Bf16Layout layout(rows.head_size);
  const auto* data = reinterpret_cast<const uint16_t*>(rows.data);
  for (int64_t q = 0; q < kQueries; q += kWidth) {
    for (int64_t d = 0; d < layout.width; d += 2 * kWidth) {
      const int64_t left = std::clamp<int64_t>(rows.head_size - d, 0, 2 * kWidth);
      const auto mask = static_cast<__mmask32>((uint64_t{1} << left) - 1);
      Vector<kWidth> block[kWidth];
#pragma GCC unroll 16
      for (int64_t i = 0; i < kWidth; ++i) {
        const bool exists = q + i < rows.count;
        block[i] =
            _mm512_castsi512_ps(exists ? _mm512_maskz_loadu_epi16(mask, data + (q + i) * rows.stride + d)
                                       : _mm512_setzero_si512());
      }
      StoreTransposed(block, state.queries + (d / 2 * kQueries + q) * kPairBytes, kQueries * kPairBytes);
    }
  }
}

// The largest of all scores and the maximum.
DISTRI_BF16 DISTRI_INLINE void FindLargest(int64_t keys, const QueryState& s, __m512 (&largest)[kVectors]) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) largest[v] = _mm512_loadu_ps(s.maximum + v * kWidth);
  for (int64_t k = 0; k < keys; ++k) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const __m512 scores = _mm512_loadu_ps(s.scores + k * kQueries + v * kWidth);
      largest[v] = _mm512_maskz_max_ps(kAllLanes, scores, largest[v]);
    }
  }
}

// Weights of pairs of keys next to each other, as products take them.
DISTRI_BF16 DISTRI_INLINE void StorePairs(__m512 even, __m512 odd, std::byte* pairs) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                                         22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even));
  _mm512_storeu_si512(pairs, _mm512_permutexvar_epi16(order, both));
}

DISTRI_BF16 DISTRI_INLINE __m512 WeightOf(const float* score, __m512 factor, __m512 offset) {
  return Exp2ForBFloat16(_mm512_fmsub_ps(_mm512_loadu_ps(score), factor, offset));
}

DISTRI_BF16 void Softmax(int64_t keys, float factor_of_scores, const QueryState& s) {
  const __m512 factor = _mm512_set1_ps(factor_of_scores);
  __m512 largest[kVectors];
  FindLargest(keys, s, largest);
  __m512 offset[kVectors];
  __m512 total[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    offset[v] = _mm512_mul_ps(factor, largest[v]);
    const __m512 decay = WeightOf(s.maximum + v * kWidth, factor, offset[v]);
    _mm512_storeu_ps(s.maximum + v * kWidth, largest[v]);
    _mm512_storeu_ps(s.decay + v * kWidth, decay);
    total[v] = _mm512_mul_ps(decay, _mm512_loadu_ps(s.total + v * kWidth));
  }
  for (int64_t k = 0; k < keys; k += 2) {
    const float* row = s.scores + k * kQueries;
    std::byte* pairs = s.weights + k / 2 * kQueries * kPairBytes;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const __m512 even = WeightOf(row + v * kWidth, factor, offset[v]);
      const __m512 odd =
          k + 1 < keys ? WeightOf(row + kQueries + v * kWidth, factor, offset[v]) : _mm512_setzero_ps();
      total[v] = _mm512_add_ps(_mm512_add_ps(total[v], even), odd);
      StorePairs(even, odd, pairs + v * kWidth * kPairBytes);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(s.total + v * kWidth, total[v]);
  const int64_t pairs = (keys + 1) / 2;
  const int64_t packed_pairs = Bf16Layout::PackedKeys(keys) / 2;
  std::memset(s.weights + pairs * kQueries * kPairBytes, 0,
              static_cast<size_t>((packed_pairs - pairs) * kQueries * kPairBytes));
}

// A matrix whose pair (i, j) lies at data + i * row + j * kPairBytes.
struct Matrix {
  const std::byte* data;
  int64_t row;
};

// c[i][q] = decay[q] * c[i][q] + sum over j of a(i, j) * b[j][q], for R rows i and all queries q, where j
// counts pairs; without decay the sum alone.
template <int R>
DISTRI_BF16 void MultiplyTile(const Matrix& a, int64_t pairs, const std::byte* b, const float* decay,
                              float* c) {
  __m512 total[R][kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      total[r][v] = _mm512_setzero_ps();
      if (decay != nullptr) {
        total[r][v] = _mm512_mul_ps(_mm512_loadu_ps(decay + v * kWidth),
                                    _mm512_loadu_ps(c + r * kQueries + v * kWidth));
      }
    }
  }
  for (int64_t j = 0; j < pairs; ++j) {
    __m512bh row[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v)
      row[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + (j * kQueries + v * kWidth) * kPairBytes));
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      int32_t pair;
      std::memcpy(&pair, a.data + r * a.row + j * kPairBytes, sizeof pair);
      const auto factor = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) total[r][v] = _mm512_dpbf16_ps(total[r][v], factor, row[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(c + r * kQueries + v * kWidth, total[r][v]);
}

void Multiply(int64_t rows, Matrix a, int64_t pairs, const std::byte* b, const float* decay, float* c) {
  constexpr void (*kTiles[kRows])(const Matrix&, int64_t, const std::byte*, const float*, float*) = {
      MultiplyTile<1>, MultiplyTile<2>, MultiplyTile<3>, MultiplyTile<4>, MultiplyTile<5>, MultiplyTile<6>};
  for (int64_t row = 0; row < rows; row += kRows) {
    const auto count = static_cast<size_t>(std::min<int64_t>(kRows, rows - row));
    kTiles[count - 1](a, pairs, b, decay, c + row * kQueries);
    a.data += kRows * a.row;
  }
}

void MultiplyKeys(const std::byte* packed, int64_t keys, const QueryRows& rows, const QueryState& state) {
  const Bf16Layout layout(rows.head_size);
  Multiply(keys, {packed, layout.key_bytes}, (rows.head_size + 1) / 2, state.queries, nullptr, state.scores);
}

void MultiplyValues(const std::byte* packed, int64_t keys, const QueryRows& rows, const QueryState& state) {
  const int64_t stride = Bf16Layout::PackedKeys(keys) * Bf16Layout::kItem;
  Multiply(rows.head_size, {packed, stride}, (keys + 1) / 2, state.weights, state.decay, state.sums);
}

}  // namespace

const AttentionKernel& Bf16AttentionKernel() {
  static const AttentionKernel kernel = [] {
    AttentionKernel k = VectorAttentionKernel(Type::kBFloat16);
    k.keys = Bf16Layout::kKeys;
    k.head_multiple = Bf16Layout::kMultiple;
    k.key_multiple = Bf16Layout::kMultiple;
    k.item_bytes = Bf16Layout::kItem;
    k.scaled_queries = false;
    k.pack = Pack;
    k.load_queries = LoadQueries;
    k.multiply_keys = MultiplyKeys;
    k.softmax = Softmax;
    k.multiply_values = MultiplyValues;
    return k;
  }();
  return kernel;
}

}  // namespace distri::device::cpu

#endif
