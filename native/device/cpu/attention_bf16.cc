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
constexpr int kVectors = Bf16Layout::kQueries / kWidth;
constexpr int64_t kPairBytes = 4;
// GCC 12 warns of intrinsics without a mask that the lanes they leave out are not initialised.
constexpr __mmask16 kAllLanes = 0xffff;
// Rows of a product that are computed together, so that each vector that is loaded is used as often.
constexpr int kRows = 6;

// words[i][j] = words of row j, word i; of 16 rows and columns.
DISTRI_BF16 DISTRI_INLINE void StoreTransposed(Vector<kWidth> (&block)[kWidth], std::byte* words,
                                               int64_t stride) {
  ops::Transpose<kWidth>(block);
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; ++i) _mm512_storeu_ps(words + i * stride, block[i]);
}

// As many halves as there are, zeros in the others.
DISTRI_BF16 DISTRI_INLINE __m512i LoadHalves(const std::byte* row, int64_t count) {
  const auto mask = static_cast<__mmask16>((1u << std::clamp<int64_t>(count, 0, kWidth)) - 1);
  return _mm512_maskz_cvtepu16_epi32(mask, _mm256_maskz_loadu_epi16(mask, row));
}

// values[d][key] of 32 keys.
DISTRI_BF16 void PackValues(const std::byte* const* rows, int64_t keys, int64_t head_size, std::byte* values,
                            int64_t stride) {
  for (int64_t d = 0; d < head_size; d += kWidth) {
    Vector<kWidth> block[kWidth];
#pragma GCC unroll 16
    for (int64_t i = 0; i < kWidth; ++i) {
      const __m512i none = _mm512_setzero_si512();
      const __m512i even = 2 * i < keys ? LoadHalves(rows[2 * i] + 2 * d, head_size - d) : none;
      const __m512i odd = 2 * i + 1 < keys ? LoadHalves(rows[2 * i + 1] + 2 * d, head_size - d) : none;
      block[i] = _mm512_castsi512_ps(_mm512_or_si512(even, _mm512_maskz_slli_epi32(kAllLanes, odd, 16)));
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
  for (int64_t q = 0; q < Bf16Layout::kQueries; q += kWidth) {
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
      StoreTransposed(block, state.queries + (d / 2 * Bf16Layout::kQueries + q) * kPairBytes,
                      Bf16Layout::kQueries * kPairBytes);
    }
  }
}

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

DISTRI_BF16 DISTRI_INLINE __m512 Larger(const float* scores, __m512 largest) {
  return _mm512_maskz_max_ps(kAllLanes, _mm512_loadu_ps(scores), largest);
}

// The largest of all scores and the maximum. Of even and of odd keys side by side, so that none waits for the
// one before.
DISTRI_BF16 DISTRI_INLINE void FindLargest(int64_t keys, const QueryState& s, __m512 (&largest)[kVectors]) {
  __m512 odd[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) odd[v] = largest[v] = _mm512_loadu_ps(s.maximum + v * kWidth);
  for (int64_t k = 0; k < keys; k += 2) {
    const float* row = s.scores + k * Bf16Layout::kQueries;
    const float* next = k + 1 < keys ? row + Bf16Layout::kQueries : row;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      largest[v] = Larger(row + v * kWidth, largest[v]);
      odd[v] = Larger(next + v * kWidth, odd[v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) largest[v] = _mm512_maskz_max_ps(kAllLanes, odd[v], largest[v]);
}

// Weights of pairs of keys next to each other, as products take them.
DISTRI_BF16 DISTRI_INLINE void StorePairs(__m512 even, __m512 odd, std::byte* pairs) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                                         22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even));
  _mm512_storeu_si512(pairs, _mm512_permutexvar_epi16(order, both));
}

// Scores become weights 2^(factor * score - offset), one offset per query.
struct Exponents {
  __m512 factor;
  __m512 offset[kVectors];
};

DISTRI_BF16 DISTRI_INLINE __m512 WeightOf(const float* score, __m512 factor, __m512 offset) {
  return Exp2ForBFloat16(_mm512_fmsub_ps(_mm512_loadu_ps(score), factor, offset));
}

// Goes from the maximum so far to `largest`. Totals are those of weights.
DISTRI_BF16 DISTRI_INLINE void BeginWeights(const __m512 (&largest)[kVectors], const QueryState& s,
                                            Exponents& e, __m512 (&total)[kVectors]) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    e.offset[v] = _mm512_mul_ps(e.factor, largest[v]);
    const __m512 decay = WeightOf(s.maximum + v * kWidth, e.factor, e.offset[v]);
    _mm512_storeu_ps(s.maximum + v * kWidth, largest[v]);
    _mm512_storeu_ps(s.decay + v * kWidth, decay);
    total[v] = _mm512_mul_ps(decay, _mm512_loadu_ps(s.total + v * kWidth));
  }
}

// Of two keys, or with `pair` false of the last alone.
DISTRI_BF16 DISTRI_INLINE void WeighPair(const float* scores, bool pair, const Exponents& e,
                                         __m512 (&total)[kVectors], std::byte* pairs) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const __m512 even = WeightOf(scores + v * kWidth, e.factor, e.offset[v]);
    const __m512 odd = pair ? WeightOf(scores + Bf16Layout::kQueries + v * kWidth, e.factor, e.offset[v])
                            : _mm512_setzero_ps();
    total[v] = _mm512_add_ps(_mm512_add_ps(total[v], even), odd);
    StorePairs(even, odd, pairs + v * kWidth * kPairBytes);
  }
}

DISTRI_BF16 void Softmax(int64_t keys, float factor, const QueryState& s) {
  __m512 largest[kVectors];
  __m512 total[kVectors];
  FindLargest(keys, s, largest);
  Exponents e;
  e.factor = _mm512_set1_ps(factor);
  BeginWeights(largest, s, e, total);
  for (int64_t k = 0; k < keys; k += 2) {
    WeighPair(s.scores + k * Bf16Layout::kQueries, k + 1 < keys, e, total,
              s.weights + k / 2 * Bf16Layout::kQueries * kPairBytes);
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(s.total + v * kWidth, total[v]);
  // Weights of the keys that there are not.
  const int64_t pairs = (keys + 1) / 2;
  const int64_t packed_pairs = Bf16Layout::PackedKeys(keys) / 2;
  std::memset(s.weights + pairs * Bf16Layout::kQueries * kPairBytes, 0,
              static_cast<size_t>((packed_pairs - pairs) * Bf16Layout::kQueries * kPairBytes));
}

DISTRI_BF16 void AddBias(const float* bias, int64_t keys, float factor, float* scores) {
  for (int64_t k = 0; k < keys; ++k) {
    for (int64_t q = 0; q < Bf16Layout::kQueries; q += kWidth) {
      float* place = scores + k * Bf16Layout::kQueries + q;
      const __m512 score = _mm512_loadu_ps(place);
      _mm512_storeu_ps(place, _mm512_fmadd_ps(_mm512_set1_ps(factor), score, _mm512_set1_ps(bias[k])));
    }
  }
}

// rows = sums / total, of no keys zeros.
DISTRI_BF16 void Store(const QueryState& state, const QueryRows& rows) {
  auto* data = reinterpret_cast<uint16_t*>(rows.data);
  for (int64_t q = 0; q < rows.count; q += kWidth) {
    const __m512 total = _mm512_loadu_ps(state.total + q);
    const __mmask16 some = _mm512_cmp_ps_mask(total, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    const __m512 inverse = _mm512_maskz_div_ps(some, _mm512_set1_ps(1.0f), total);
    for (int64_t d = 0; d < rows.head_size; d += kWidth) {
      const int64_t width = std::min<int64_t>(kWidth, rows.head_size - d);
      const auto mask = static_cast<__mmask16>((1u << width) - 1);
      Vector<kWidth> block[kWidth];
#pragma GCC unroll 16
      for (int64_t i = 0; i < kWidth; ++i)
        block[i] = _mm512_mul_ps(inverse, _mm512_loadu_ps(state.sums + (d + i) * Bf16Layout::kQueries + q));
      ops::Transpose<kWidth>(block);
      const int64_t count = std::min<int64_t>(kWidth, rows.count - q);
      for (int64_t i = 0; i < count; ++i) {
        const auto rounded = reinterpret_cast<__m256i>(_mm512_maskz_cvtneps_pbh(kAllLanes, block[i]));
        _mm256_mask_storeu_epi16(data + (q + i) * rows.stride + d, mask, rounded);
      }
    }
  }
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
                                    _mm512_loadu_ps(c + r * Bf16Layout::kQueries + v * kWidth));
      }
    }
  }
  for (int64_t j = 0; j < pairs; ++j) {
    __m512bh row[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v)
      row[v] = reinterpret_cast<__m512bh>(
          _mm512_loadu_si512(b + (j * Bf16Layout::kQueries + v * kWidth) * kPairBytes));
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
    for (int v = 0; v < kVectors; ++v)
      _mm512_storeu_ps(c + r * Bf16Layout::kQueries + v * kWidth, total[r][v]);
}

void Multiply(int64_t rows, Matrix a, int64_t pairs, const std::byte* b, const float* decay, float* c) {
  constexpr void (*kTiles[kRows])(const Matrix&, int64_t, const std::byte*, const float*, float*) = {
      MultiplyTile<1>, MultiplyTile<2>, MultiplyTile<3>, MultiplyTile<4>, MultiplyTile<5>, MultiplyTile<6>};
  for (int64_t row = 0; row < rows; row += kRows) {
    const auto count = static_cast<size_t>(std::min<int64_t>(kRows, rows - row));
    kTiles[count - 1](a, pairs, b, decay, c + row * Bf16Layout::kQueries);
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
    AttentionKernel k{};
    k.queries = Bf16Layout::kQueries;
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
    k.add_bias = AddBias;
    k.store = Store;
    return k;
  }();
  return kernel;
}

}  // namespace distri::device::cpu

#endif
