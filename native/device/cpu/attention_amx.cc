// Attention of bfloat16 on AMX's tiles. All but the products is that of attention_bf16.cc.
#if defined(DISTRI_HAS_AMX)

#include <algorithm>

#include "device/cpu/attention_bf16.h"
#include "device/cpu/tiles.h"

namespace distri::device::cpu {
namespace {

constexpr int64_t kTileRows = 16;
constexpr int64_t kRowBytes = 64;
// A row of queries' sums, and one of pairs that are multiplied.
constexpr int64_t kQueryBytes = kQueries * static_cast<int64_t>(sizeof(float));
constexpr int64_t kTileQueries = 16;

// A matrix of pairs, of which a tile has 16 rows of 16.
struct Matrix {
  const std::byte* data;
  int64_t row;
};

// c[i][q] (+)= sum over j of a(i, j) * b[j][q], for one or two tiles of rows i and two of queries q. Tiles 0
// to 3 are sums, 4 and 5 are of a, 6 and 7 of b.
template <int Rows>
DISTRI_INLINE void MultiplyRows(const Matrix& a, int64_t steps, const std::byte* b, bool add, float* c) {
  float* const lower = c + kTileRows * kQueries;
  if (add) {
    LoadTile<0>(c, kQueryBytes);
    LoadTile<1>(c + kTileQueries, kQueryBytes);
    if constexpr (Rows == 2) {
      LoadTile<2>(lower, kQueryBytes);
      LoadTile<3>(lower + kTileQueries, kQueryBytes);
    }
  } else {
    ZeroTile<0>();
    ZeroTile<1>();
    ZeroTile<2>();
    ZeroTile<3>();
  }
  for (int64_t step = 0; step < steps; ++step) {
    const std::byte* rows = a.data + step * kRowBytes;
    const std::byte* pairs = b + step * kTileRows * kQueryBytes;
    LoadTile<4>(rows, a.row);
    LoadTile<6>(pairs, kQueryBytes);
    MultiplyTiles<0, 4, 6>();
    LoadTile<7>(pairs + kRowBytes, kQueryBytes);
    MultiplyTiles<1, 4, 7>();
    if constexpr (Rows == 2) {
      LoadTile<5>(rows + kTileRows * a.row, a.row);
      MultiplyTiles<2, 5, 6>();
      MultiplyTiles<3, 5, 7>();
    }
  }
  StoreTile<0>(c, kQueryBytes);
  StoreTile<1>(c + kTileQueries, kQueryBytes);
  if constexpr (Rows == 2) {
    StoreTile<2>(lower, kQueryBytes);
    StoreTile<3>(lower + kTileQueries, kQueryBytes);
  }
}

// For all rows and as many queries as there are.
void Multiply(int64_t rows, int64_t queries, const Matrix& a, int64_t steps, const std::byte* b, bool add,
              float* c) {
  for (int64_t row = 0; row < rows; row += 2 * kTileRows) {
    const Matrix part{a.data + row * a.row, a.row};
    for (int64_t q = 0; q < queries; q += 2 * kTileQueries) {
      float* sums = c + row * kQueries + q;
      const std::byte* pairs = b + q * static_cast<int64_t>(sizeof(float));
      if (rows - row > kTileRows) {
        MultiplyRows<2>(part, steps, pairs, add, sums);
      } else {
        MultiplyRows<1>(part, steps, pairs, add, sums);
      }
    }
  }
}

void MultiplyKeys(const std::byte* packed, int64_t keys, const QueryRows& rows, const QueryState& state) {
  const Bf16Layout layout(rows.head_size);
  Multiply(keys, rows.count, {packed, layout.key_bytes}, layout.width / Bf16Layout::kMultiple, state.queries,
           false, state.scores);
}

// Most blocks of keys have no larger score than those before.
bool AllOnes(const float* decay) {
  return std::all_of(decay, decay + kQueries, [](float d) { return d == 1.0f; });
}

void Decay(int64_t rows, const float* decay, float* sums) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t q = 0; q < kQueries; ++q) sums[row * kQueries + q] *= decay[q];
  }
}

void MultiplyValues(const std::byte* packed, int64_t keys, const QueryRows& rows, const QueryState& state) {
  if (!AllOnes(state.decay)) Decay(rows.head_size, state.decay, state.sums);
  const int64_t packed_keys = Bf16Layout::PackedKeys(keys);
  Multiply(rows.head_size, rows.count, {packed, packed_keys * Bf16Layout::kItem},
           packed_keys / Bf16Layout::kMultiple, state.weights, true, state.sums);
}

}  // namespace

const AttentionKernel& AmxAttentionKernel() {
  static const AttentionKernel kernel = [] {
    AttentionKernel k = Bf16AttentionKernel();
    k.begin = ConfigureTiles;
    k.end = ReleaseTiles;
    k.multiply_keys = MultiplyKeys;
    k.multiply_values = MultiplyValues;
    return k;
  }();
  return kernel;
}

}  // namespace distri::device::cpu

#endif
