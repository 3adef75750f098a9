#include "ops/linear_block.h"

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include "ops/levels.h"
#include "ops/loops.h"
#include "ops/math.h"
#include "ops/vectors.h"

// A panel of weights is packed: for each element of the inner dimension the weights of all its features. It
// stays in the second-level cache while all tokens pass by.
namespace distri::ops {
namespace {

// Features of a panel; with kGeglu half of them are gates.
constexpr size_t kPanel = 64;
// The most of the inner dimension that is packed at a time, of 256 KiB with the above.
constexpr size_t kChunk = 1280;
// Tokens that are computed together, so that each vector of weights that is loaded is used as often.
constexpr int kTokens = 6;
constexpr size_t kAlignment = 64;

size_t ColumnsOf(const LinearLayer& layer) {
  return layer.activation == LinearActivation::kGeglu ? kPanel / 2 : kPanel;
}

// The weights and biases of one panel's features; zeros where it is narrower than others.
struct Panel {
  size_t index;
  const float* rows[kPanel];
  float bias[kPanel];
  // Where its results go.
  size_t column;
  size_t columns;
};

alignas(kAlignment) constexpr float kZeros[kChunk] = {};

Panel FindPanel(const LinearLayer& layer, size_t index) {
  const size_t width = ColumnsOf(layer);
  Panel panel;
  panel.index = index;
  panel.column = index * width;
  panel.columns = std::min(width, layer.OutFeatures() - panel.column);
  for (size_t lane = 0; lane < kPanel; ++lane) {
    const size_t gate = lane / width;
    const bool exists = lane % width < panel.columns;
    const size_t feature = gate * layer.OutFeatures() + panel.column + lane % width;
    panel.rows[lane] = exists ? layer.weight + feature * layer.inner : nullptr;
    panel.bias[lane] = exists && layer.bias ? layer.bias[feature] : 0.0f;
  }
  return panel;
}

// Room for one panel; one per thread, kept.
struct Scratch {
  std::vector<float> floats;
  float* packed;
  // [tokens][kPanel]: sums that do not go to y as they are.
  float* sums;

  void Resize(size_t chunk, size_t sums_of_tokens) {
    floats.resize((chunk + sums_of_tokens) * kPanel + kAlignment / sizeof(float));
    const size_t over = reinterpret_cast<uintptr_t>(floats.data()) % kAlignment / sizeof(float);
    packed = floats.data() + (over == 0 ? 0 : kAlignment / sizeof(float) - over);
    sums = packed + chunk * kPanel;
  }
};

// Asks for the weights that are packed next while the present ones are used, a few with each tile: they come
// from memory, for which packing would otherwise stand still.
class Prefetcher {
 public:
  // For `tiles` calls of Advance.
  Prefetcher(const float* const* rows, size_t chunk, size_t tiles)
      : rows_(rows), lines_((chunk + kLine - 1) / kLine), per_tile_((kPanel * lines_ + tiles - 1) / tiles) {}

  DISTRI_INLINE void Advance() {
    for (size_t i = 0; i < per_tile_ && row_ < kPanel; ++i) {
      constexpr int kRead = 0;
      constexpr int kSecondLevel = 2;
      __builtin_prefetch(rows_[row_] + line_ * kLine, kRead, kSecondLevel);
      if (++line_ == lines_) {
        line_ = 0;
        ++row_;
      }
    }
  }

 private:
  static constexpr size_t kLine = 64 / sizeof(float);
  const float* const* rows_;
  size_t lines_;
  size_t per_tile_;
  size_t row_ = 0;
  size_t line_ = 0;
};

// packed[s][j][lane] = rows[s * width + lane][j] for strips s of `width` lanes; width is a multiple of W.
template <int W>
DISTRI_INLINE void PackPanel(const float* const* rows, size_t chunk, size_t width, float* packed) {
  for (size_t lane = 0; lane < kPanel; lane += W) {
    float* out = packed + lane / width * width * chunk + lane % width;
    size_t j = 0;
    for (; j + W <= chunk; j += W) {
      Vector<W> block[W];
#pragma GCC unroll 16
      for (int i = 0; i < W; ++i) block[i] = *reinterpret_cast<const Vector<W>*>(rows[lane + i] + j);
      Transpose<W>(block);
#pragma GCC unroll 16
      for (int i = 0; i < W; ++i) *reinterpret_cast<Vector<W>*>(out + (j + i) * width) = block[i];
    }
    for (; j < chunk; ++j)
      for (int i = 0; i < W; ++i) out[j * width + i] = rows[lane + i][j];
  }
}

// Where a tile's sums begin and end.
struct Sums {
  float* data;
  size_t stride;
  // What they start from; null to go on from what is there.
  const float* bias;
};

// sums[r][lane] (+)= sum over j of x[r][j] * packed[j][lane], for R tokens r and V vectors of W lanes.
template <int W, int V, int R>
DISTRI_INLINE void MultiplyTile(const float* x, size_t stride, size_t chunk, const float* packed,
                                const Sums& sums) {
  Vector<W> total[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
      total[r][v] =
          *reinterpret_cast<const Vector<W>*>((sums.bias ? sums.bias : sums.data + r * sums.stride) + v * W);
  for (size_t j = 0; j < chunk; ++j) {
    Vector<W> row[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) row[v] = *reinterpret_cast<const Vector<W>*>(packed + (j * V + v) * W);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const float factor = x[r * stride + j];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) total[r][v] += factor * row[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
      *reinterpret_cast<Vector<W>*>(sums.data + r * sums.stride + v * W) = total[r][v];
}

// All strips of a panel for R tokens. A token is summed in the same order whatever R.
template <int W, int V, int R>
DISTRI_INLINE void MultiplyStrips(const float* x, size_t stride, size_t chunk, const float* packed,
                                  const Sums& sums) {
  for (size_t lane = 0; lane < kPanel; lane += W * V) {
    const float* bias = sums.bias ? sums.bias + lane : nullptr;
    MultiplyTile<W, V, R>(x, stride, chunk, packed + lane * chunk, {sums.data + lane, sums.stride, bias});
  }
}

// Sums of values and of their gates to half as many.
DISTRI_INLINE void GateSums(const float* sums, float* y) {
#pragma omp simd
  for (size_t i = 0; i < kPanel / 2; ++i) y[i] = sums[i] * Gelu(sums[kPanel / 2 + i]);
}

// The loops compiled for one instruction set. Each is a function of its own: inlined into one another they
// would have too few registers.
struct Loops {
  void (*pack)(const float* const* rows, size_t chunk, float* packed);
  // For 1 to kTokens tokens.
  void (*multiply[kTokens])(const float* x, size_t stride, size_t chunk, const float* packed,
                            const Sums& sums);
  void (*gate)(const float* sums, float* y);
};

#define DISTRI_LINEAR_LOOPS(Name, TARGET, W, V)                                                      \
  struct Name {                                                                                      \
    TARGET static void Pack(const float* const* rows, size_t chunk, float* packed) {                 \
      PackPanel<W>(rows, chunk, W * V, packed);                                                      \
    }                                                                                                \
    template <int R>                                                                                 \
    TARGET static void Multiply(const float* x, size_t stride, size_t chunk, const float* packed,    \
                                const Sums& sums) {                                                  \
      MultiplyStrips<W, V, R>(x, stride, chunk, packed, sums);                                       \
    }                                                                                                \
    TARGET static void Gate(const float* sums, float* y) { GateSums(sums, y); }                      \
    static constexpr Loops kLoops{                                                                   \
        Pack, {Multiply<1>, Multiply<2>, Multiply<3>, Multiply<4>, Multiply<5>, Multiply<6>}, Gate}; \
  };

DISTRI_LEVELS(DISTRI_LINEAR_LOOPS)

// The part of the inner dimension that is done at a time: as much as fits, in equal parts.
size_t LongestChunk(size_t inner) {
  const size_t chunks = (inner + kChunk - 1) / kChunk;
  return (inner + chunks - 1) / chunks;
}

// The weights of one panel for part of the inner dimension, as they lie in memory.
struct Block {
  size_t begin;
  size_t chunk;
  // Of each feature, zeros if there is none; or else, packed already, any division of them into as many rows.
  const float* rows[kPanel];

  Block(const LinearLayer& layer, const Panel& panel, size_t begin_)
      : begin(begin_), chunk(std::min(LongestChunk(layer.inner), layer.inner - begin_)) {
    const float* packed =
        layer.packed ? layer.packed + panel.index * kPanel * layer.inner + kPanel * begin : nullptr;
    for (size_t lane = 0; lane < kPanel; ++lane) {
      if (packed)
        rows[lane] = packed + lane * chunk;
      else
        rows[lane] = panel.rows[lane] ? panel.rows[lane] + begin : kZeros;
    }
  }
};

// The sums of one token to the panel's columns.
void StoreSums(const LinearLayer& layer, const Panel& panel, const float* sums, float* y) {
  float gated[kPanel / 2];
  if (layer.activation == LinearActivation::kGeglu) {
    ChosenLoops().gate(sums, gated);
    sums = gated;
  }
  std::copy(sums, sums + panel.columns, y);
}

// One panel of some tokens.
class PanelTask {
 public:
  PanelTask(const LinearLayer& layer, size_t index, size_t first, size_t end)
      : layer_(layer),
        panel_(FindPanel(layer, index)),
        following_(FindPanel(layer, std::min(index + 1, layer.Panels() - 1))),
        first_(first),
        end_(end),
        longest_(LongestChunk(layer.inner)),
        direct_(layer.activation == LinearActivation::kNone && panel_.columns == kPanel) {}

  void Run(Scratch& scratch) const {
    const size_t tokens_kept = direct_ ? 0 : OneChunk() ? kTokens : end_ - first_;
    scratch.Resize(layer_.packed ? 0 : longest_, tokens_kept);
    for (size_t begin = 0; begin < layer_.inner; begin += longest_) {
      const Block block(layer_, panel_, begin);
      const float* packed = block.rows[0];
      if (!layer_.packed) {
        ChosenLoops().pack(block.rows, block.chunk, scratch.packed);
        packed = scratch.packed;
      }
      Multiply(block, packed, scratch.sums);
    }
  }

 private:
  bool OneChunk() const { return longest_ == layer_.inner; }

  // What this thread will most likely need next.
  Block Next(size_t begin) const {
    return begin == layer_.inner ? Block(layer_, following_, 0) : Block(layer_, panel_, begin);
  }

  void Multiply(const Block& block, const float* packed, float* kept) const {
    const size_t done = block.begin + block.chunk;
    const bool last = done == layer_.inner;
    const Block next = Next(done);
    Prefetcher prefetcher(next.rows, next.chunk, (end_ - first_ + kTokens - 1) / kTokens);
    for (size_t token = first_; token < end_; token += kTokens) {
      const size_t tokens = std::min<size_t>(kTokens, end_ - token);
      const float* x = layer_.x + token * layer_.inner + block.begin;
      const Sums sums = SumsOf(token, block.begin == 0, kept);
      ChosenLoops().multiply[tokens - 1](x, layer_.inner, block.chunk, packed, sums);
      prefetcher.Advance();
      if (last) Finish(token, tokens, sums);
    }
  }

  size_t ResultOffset(size_t token) const { return token * layer_.OutFeatures() + panel_.column; }

  // Makes of sums what the layer gives.
  void Finish(size_t first, size_t tokens, const Sums& sums) const {
    for (size_t i = 0; i < tokens; ++i) {
      const size_t offset = ResultOffset(first + i);
      if (!direct_) StoreSums(layer_, panel_, sums.data + i * sums.stride, layer_.y + offset);
      if (layer_.residual) AddTo(layer_.residual + offset, layer_.y + offset, panel_.columns);
    }
  }

  // Those of one token after the other lie in the result itself where nothing is left to do with them.
  Sums SumsOf(size_t token, bool begins, float* kept) const {
    const float* bias = begins ? panel_.bias : nullptr;
    if (direct_) return {layer_.y + ResultOffset(token), layer_.OutFeatures(), bias};
    return {kept + (OneChunk() ? 0 : (token - first_) * kPanel), kPanel, bias};
  }

  const LinearLayer& layer_;
  Panel panel_;
  Panel following_;
  size_t first_;
  size_t end_;
  size_t longest_;
  // Whether sums are what the layer gives.
  bool direct_;
};

}  // namespace

size_t LinearLayer::Panels() const {
  const size_t width = ColumnsOf(*this);
  return (OutFeatures() + width - 1) / width;
}

PackedWeights::PackedWeights(const float* weight, size_t inner, size_t features,
                             LinearActivation activation) {
  const LinearLayer layer{nullptr, weight, nullptr, nullptr, nullptr, nullptr, inner, features, activation};
  const size_t panels = layer.Panels();
  data_.reset(static_cast<float*>(std::aligned_alloc(kAlignment, panels * kPanel * inner * sizeof(float))));
  if (!data_) throw std::bad_alloc();
  float* out = data_.get();
  for (size_t panel = 0; panel < panels; ++panel) {
    for (size_t begin = 0; begin < inner; begin += LongestChunk(inner)) {
      const Block block(layer, FindPanel(layer, panel), begin);
      ChosenLoops().pack(block.rows, block.chunk, out);
      out += kPanel * block.chunk;
    }
  }
}

void LinearPanel(const LinearLayer& layer, size_t panel, size_t first, size_t end) {
  thread_local Scratch scratch;
  PanelTask(layer, panel, first, end).Run(scratch);
}

}  // namespace distri::ops
