#include "device/cpu/attention.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "device/cpu/attention_kernel.h"
#include "device/cpu/vector_math.h"
#include "ops/levels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace distri::device::cpu {
namespace {

// Takes numbers below the normal ones for zero while it lives: weights of keys that hardly count are often
// such, and processors take a hundred times longer for them.
class FlushTinyNumbers {
 public:
#if defined(__x86_64__)
  FlushTinyNumbers() : control_(_mm_getcsr()) { _mm_setcsr(control_ | kFlushResults | kFlushOperands); }
  ~FlushTinyNumbers() { _mm_setcsr(control_); }
  FlushTinyNumbers(const FlushTinyNumbers&) = delete;
  FlushTinyNumbers& operator=(const FlushTinyNumbers&) = delete;

 private:
  static constexpr unsigned kFlushResults = 0x8000;
  static constexpr unsigned kFlushOperands = 0x0040;
  unsigned control_;
#endif
};

constexpr int64_t kAlignment = 64;
// Packed keys and values of as many heads as fit wait at a time for the queries.
constexpr int64_t kPackedBytes = 16 << 20;

int64_t RoundUp(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

int64_t CountKeys(const Attention& attention) {
  int64_t keys = 0;
  for (int part = 0; part < attention.parts; ++part) keys += attention.keys[part].tokens;
  return keys;
}

// Where everything lies in the memory to work in, in bytes.
struct Layout {
  int64_t keys;
  // Keys are as large as values.
  int64_t half_block;
  int64_t head;
  int64_t heads_at_once;
  // Of a block of queries.
  int64_t queries;
  int64_t scores;
  int64_t weights;
  int64_t sums;
  int64_t state;

  Layout(const Attention& attention, const AttentionKernel& kernel) : keys(CountKeys(attention)) {
    const int64_t width = RoundUp(attention.head_size, kernel.head_multiple);
    const int64_t block_keys = RoundUp(std::min(kernel.keys, keys), kernel.key_multiple);
    half_block = RoundUp(block_keys * width * kernel.item_bytes, kAlignment);
    head = 2 * half_block * Blocks(kernel);
    const int64_t heads = attention.images * attention.heads;
    heads_at_once =
        std::clamp<int64_t>(kPackedBytes / std::max<int64_t>(head, 1), 1, std::max<int64_t>(heads, 1));
    constexpr int64_t kFloat = sizeof(float);
    queries = width * kernel.queries * kernel.item_bytes;
    scores = block_keys * kernel.queries * kFloat;
    weights = block_keys * kernel.queries * kernel.item_bytes;
    sums = width * kernel.queries * kFloat;
    state = queries + scores + weights + sums + 3 * kMostQueries * kFloat;
  }

  int64_t Blocks(const AttentionKernel& kernel) const { return (keys + kernel.keys - 1) / kernel.keys; }

  QueryState StateAt(std::byte* memory) const {
    QueryState s;
    s.queries = memory;
    s.scores = reinterpret_cast<float*>(memory + queries);
    s.weights = memory + queries + scores;
    s.sums = reinterpret_cast<float*>(memory + queries + scores + weights);
    s.maximum = reinterpret_cast<float*>(memory + queries + scores + weights + sums);
    s.total = s.maximum + kMostQueries;
    s.decay = s.total + kMostQueries;
    return s;
  }
};

std::byte* RowAt(const Tokens& tokens, int64_t image, int64_t token, int64_t element) {
  const int64_t offset = image * tokens.image_stride + token * tokens.token_stride + element;
  return tokens.data + offset * static_cast<int64_t>(ItemBytes(tokens.type));
}

// The rows of `count` keys from `first` on, in whichever parts they are.
KeyRows FindKeyRows(const Attention& attention, int64_t image, int64_t head, int64_t first, int64_t count) {
  KeyRows rows;
  rows.count = count;
  rows.head_size = attention.head_size;
  int part = 0;
  for (int64_t i = 0; i < count; ++i) {
    while (first >= attention.keys[part].tokens) first -= attention.keys[part++].tokens;
    rows.keys[i] = RowAt(attention.keys[part], image, first, head * attention.head_size);
    rows.values[i] = RowAt(attention.values[part], image, first, head * attention.head_size);
    ++first;
  }
  return rows;
}

// What is added to the scores of one head's queries from one on.
struct Bias {
  const float* data = nullptr;
  int64_t query_stride = 0;
  int64_t key_stride = 0;

  Bias(const Strided& bias, int64_t image, int64_t head, int64_t query) {
    if (bias.data == nullptr) return;
    data =
        bias.as<const float>() + image * bias.strides[0] + head * bias.strides[1] + query * bias.strides[2];
    query_stride = bias.strides[2];
    key_stride = bias.strides[3];
  }
};

// One block of queries of one head.
class QueryBlock {
 public:
  QueryBlock(const Attention& attention, const AttentionKernel& kernel, const QueryState& state,
             int64_t image, int64_t head, int64_t first)
      : attention_(attention),
        kernel_(kernel),
        state_(state),
        first_(first),
        count_(std::min(kernel.queries, attention.query.tokens - first)),
        queries_(RowsOf(attention.query, image, head)),
        results_(RowsOf(attention.result, image, head)),
        bias_(attention.bias, image, head, first) {}

  void Run(const std::byte* packed, const Layout& layout) const {
    const float factor = attention_.scale * kLog2E;
    kernel_.load_queries(queries_, factor, state_);
    std::fill_n(state_.sums, attention_.head_size * kernel_.queries, 0.0f);
    std::fill_n(state_.maximum, kernel_.queries, kNoScore);
    std::fill_n(state_.total, kernel_.queries, 0.0f);
    for (int64_t key = 0; key < layout.keys; key += kernel_.keys) {
      const int64_t keys = std::min(kernel_.keys, layout.keys - key);
      kernel_.multiply_keys(packed, keys, queries_, state_);
      kernel_.softmax(keys, MaskScores(key, keys, kernel_.scaled_queries ? 1.0f : factor), state_);
      kernel_.multiply_values(packed + layout.half_block, keys, queries_, state_);
      packed += 2 * layout.half_block;
    }
    kernel_.store(state_, results_);
  }

 private:
  QueryRows RowsOf(const Tokens& tokens, int64_t image, int64_t head) const {
    return {RowAt(tokens, image, first_, head * attention_.head_size), tokens.token_stride, count_,
            attention_.head_size};
  }

  // Adds the bias and hides what queries do not see. Returns the factor that scores have to be multiplied by
  // then.
  float MaskScores(int64_t first_key, int64_t keys, float factor) const {
    // The largest score is the largest exponent only with positive factors.
    if (bias_.data == nullptr && !attention_.causal && factor > 0) return factor;
    if (bias_.data != nullptr && bias_.query_stride == 0 && !attention_.causal) {
      std::array<float, kMostKeys> biases;
      for (int64_t k = 0; k < keys; ++k) {
        biases[static_cast<size_t>(k)] = ScaledBias(0, first_key + k);
      }
      kernel_.add_bias(biases.data(), keys, factor, state_.scores);
      return 1;
    }
    for (int64_t k = 0; k < keys; ++k) MaskRow(first_key + k, factor, state_.scores + k * kernel_.queries);
    return 1;
  }

  void MaskRow(int64_t key, float factor, float* scores) const {
    for (int64_t q = 0; q < count_; ++q) {
      const bool hidden = attention_.causal && key > first_ + q;
      scores[q] = hidden ? kNoScore : std::max(factor * scores[q] + ScaledBias(q, key), kNoScore);
    }
  }

  float ScaledBias(int64_t query, int64_t key) const {
    if (bias_.data == nullptr) return 0;
    return std::max(kLog2E * bias_.data[query * bias_.query_stride + key * bias_.key_stride], kNoScore);
  }

  const Attention& attention_;
  const AttentionKernel& kernel_;
  const QueryState& state_;
  int64_t first_;
  int64_t count_;
  QueryRows queries_;
  QueryRows results_;
  Bias bias_;
};

class AttentionRun {
 public:
  AttentionRun(const Attention& attention, std::byte* work)
      : attention_(attention),
        kernel_(AttentionKernelFor(attention.query.type)),
        layout_(attention, kernel_),
        packed_(work),
        states_(work + layout_.heads_at_once * layout_.head) {}

  void Run(Pool& pool) const {
    const int64_t heads = attention_.images * attention_.heads;
    for (int64_t head = 0; head < heads; head += layout_.heads_at_once) {
      const int64_t count = std::min(layout_.heads_at_once, heads - head);
      Pack(head, count, pool);
      Attend(head, count, pool);
    }
  }

 private:
  std::byte* PackedHead(int64_t index) const { return packed_ + index * layout_.head; }

  // Keys and values of `count` heads, those of the images one after the other.
  void Pack(int64_t first_head, int64_t count, Pool& pool) const {
    const int64_t blocks = layout_.Blocks(kernel_);
    pool.Run(count * blocks, [&](int64_t task) {
      const int64_t head = first_head + task / blocks;
      const int64_t block = task % blocks;
      const int64_t first = block * kernel_.keys;
      const KeyRows rows = FindKeyRows(attention_, head / attention_.heads, head % attention_.heads, first,
                                       std::min(kernel_.keys, layout_.keys - first));
      std::byte* packed = PackedHead(task / blocks) + 2 * block * layout_.half_block;
      kernel_.pack(rows, packed, packed + layout_.half_block);
    });
  }

  // There is memory for as many blocks of queries at a time as there are threads: so each task takes blocks
  // until none is left.
  void Attend(int64_t first_head, int64_t count, Pool& pool) const {
    const int64_t blocks = (attention_.query.tokens + kernel_.queries - 1) / kernel_.queries;
    std::atomic<int64_t> next{0};
    pool.Run(std::min<int64_t>(pool.threads(), count * blocks), [&](int64_t task) {
      const QueryState state = layout_.StateAt(states_ + task * layout_.state);
      [[maybe_unused]] const FlushTinyNumbers flush{};
      if (kernel_.begin != nullptr) kernel_.begin();
      for (int64_t i = next.fetch_add(1); i < count * blocks; i = next.fetch_add(1)) {
        const int64_t head = first_head + i / blocks;
        QueryBlock(attention_, kernel_, state, head / attention_.heads, head % attention_.heads,
                   i % blocks * kernel_.queries)
            .Run(PackedHead(i / blocks), layout_);
      }
      if (kernel_.end != nullptr) kernel_.end();
    });
  }

  const Attention& attention_;
  const AttentionKernel& kernel_;
  Layout layout_;
  std::byte* packed_;
  std::byte* states_;
};

}  // namespace

const AttentionKernel& AttentionKernelFor(Type type) {
  if (type == Type::kBFloat16) {
#if defined(DISTRI_HAS_AMX)
    if (ops::ChosenLevel() == ops::Level::kAmx) return AmxAttentionKernel();
#endif
#if defined(DISTRI_HAS_BF16)
    if (ops::ChosenLevel() >= ops::Level::kBf16) return Bf16AttentionKernel();
#endif
  }
  return VectorAttentionKernel(type);
}

size_t WorkBytes(const Attention& attention, const Pool& pool) {
  const Layout layout(attention, AttentionKernelFor(attention.query.type));
  return static_cast<size_t>(layout.heads_at_once * layout.head + pool.threads() * layout.state);
}

void Run(const Attention& attention, std::byte* work, Pool& pool) { AttentionRun(attention, work).Run(pool); }

}  // namespace distri::device::cpu
