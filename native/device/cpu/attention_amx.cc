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

// R tiles of rows, and all queries: tiles 0 to 3 are sums, of which two share what is loaded of a and b.
template <int R>
void MultiplyTileRows(const TileProduct& p, const std::byte* a, float* c) {
  float* lower = c + kTileRows * Bf16Layout::kQueries;
  if (p.add) {
    LoadTile<0>(c, kQueryBytes);
    LoadTile<1>(c + kTileQueries, kQueryBytes);
    if constexpr (R == 2) {
      LoadTile<2>(lower, kQueryBytes);
      LoadTile<3>(lower + kTileQueries, kQueryBytes);
    }
  } else {
    ZeroTile<0>();
    ZeroTile<1>();
    ZeroTile<2>();
    ZeroTile<3>();
  }
  const std::byte* b = p.b;
  for (int64_t step = 0; step < p.steps; ++step) {
    LoadTile<4>(a + step * kRowBytes, p.stride);
    LoadTile<6>(b, kQueryBytes);
    MultiplyTiles<0, 4, 6>();
    LoadTile<7>(b + kRowBytes, kQueryBytes);
    MultiplyTiles<1, 4, 7>();
    if constexpr (R == 2) {
      LoadTile<5>(a + kTileRows * p.stride + step * kRowBytes, p.stride);
      MultiplyTiles<2, 5, 6>();
      MultiplyTiles<3, 5, 7>();
    }
    b += kTileRows * kQueryBytes;
  }
  StoreTile<0>(c, kQueryBytes);
  StoreTile<1>(c + kTileQueries, kQueryBytes);
  if constexpr (R == 2) {
    StoreTile<2>(lower, kQueryBytes);
    StoreTile<3>(lower + kTileQueries, kQueryBytes);
  }
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
