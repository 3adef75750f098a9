// Attention of bfloat16 on AMX's tiles. All but the products is that of attention_bf16.cc.
#if defined(DISTRI_HAS_AMX)

#include "device/cpu/attention_bf16.h"
#include "device/cpu/tiles.h"

namespace distri::device::cpu {
namespace {

constexpr int64_t kTileRows = 16;
constexpr int64_t kRowBytes = 64;
// A row of queries' sums, and one of pairs that are multiplied.
constexpr int64_t kQueryBytes = Bf16Layout::kQueries * static_cast<int64_t>(sizeof(float));
constexpr int64_t kTileQueries = 16;

// c[i][q] (+)= sum over j of a(i, j) * b[j][q], where j counts pairs: a has rows of `stride` bytes, b and c
// those of all queries.
struct TileProduct {
  const std::byte* a;
  int64_t stride;
  const std::byte* b;
  // Tiles of pairs.
  int64_t steps;
  bool add;
  float* c;
};

// The sums of a tile of rows and one of queries, in tile T. Those in the tile before are stored meanwhile:
// stores wait for sums, and what comes after stores for them.
template <int T>
DISTRI_INLINE void MultiplyTile(const TileProduct& p, const std::byte* a, const std::byte* b, float* c,
                                float* before) {
  if (p.add) {
    LoadTile<T>(c, kQueryBytes);
  } else {
    ZeroTile<T>();
  }
  for (int64_t step = 0; step < p.steps; ++step) {
    LoadTile<4>(a + step * kRowBytes, p.stride);
    LoadTile<6>(b + step * kTileRows * kQueryBytes, kQueryBytes);
    MultiplyTiles<T, 4, 6>();
    if constexpr (T > 0) {
      if (step == 0) StoreTile<T - 1>(before, kQueryBytes);
    }
  }
}

// R tiles of rows, and all queries.
template <int R>
void MultiplyTileRows(const TileProduct& p, const std::byte* a, float* c) {
  const std::byte* right = p.b + kRowBytes;
  MultiplyTile<0>(p, a, p.b, c, nullptr);
  MultiplyTile<1>(p, a, right, c + kTileQueries, c);
  if constexpr (R == 1) return StoreTile<1>(c + kTileQueries, kQueryBytes);
  const std::byte* lower_a = a + kTileRows * p.stride;
  float* lower = c + kTileRows * Bf16Layout::kQueries;
  MultiplyTile<2>(p, lower_a, p.b, lower, c + kTileQueries);
  MultiplyTile<3>(p, lower_a, right, lower + kTileQueries, lower);
  StoreTile<3>(lower + kTileQueries, kQueryBytes);
}
static_assert(Bf16Layout::kQueries == 2 * kTileQueries, "queries are two tiles wide");

void Multiply(int64_t rows, const TileProduct& product) {
  const std::byte* a = product.a;
  float* c = product.c;
  for (; rows > kTileRows; rows -= 2 * kTileRows) {
    MultiplyTileRows<2>(product, a, c);
    a += 2 * kTileRows * product.stride;
    c += 2 * kTileRows * Bf16Layout::kQueries;
  }
  if (rows > 0) MultiplyTileRows<1>(product, a, c);
}

void MultiplyKeys(const std::byte* packed, int64_t keys, const QueryRows& rows, const QueryState& state) {
  const Bf16Layout layout(rows.head_size);
  Multiply(keys, {packed, layout.key_bytes, state.queries, layout.width / Bf16Layout::kMultiple, false,
                  state.scores});
}

__attribute__((target("arch=x86-64-v4"))) void Decay(int64_t rows, const float* decay, float* sums) {
  for (int64_t row = 0; row < rows; ++row) {
#pragma omp simd
    for (int64_t q = 0; q < Bf16Layout::kQueries; ++q) sums[row * Bf16Layout::kQueries + q] *= decay[q];
  }
}

void MultiplyValues(const std::byte* packed, int64_t keys, const QueryRows& rows, const QueryState& state) {
  const int64_t packed_keys = Bf16Layout::PackedKeys(keys);
  Decay(rows.head_size, state.decay, state.sums);
  Multiply(rows.head_size, {packed, packed_keys * Bf16Layout::kItem, state.weights,
                            packed_keys / Bf16Layout::kMultiple, true, state.sums});
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
