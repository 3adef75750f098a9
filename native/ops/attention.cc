#include "ops/attention.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "ops/copy.h"

namespace distri::ops {
namespace {

// Keys and values `[B, tokens, C]` of some tokens.
struct Source {
  const float* keys;
  const float* values;
  int64_t tokens;
};

void CheckHeads(const Input& queries, int64_t heads) {
  if (queries.shape.size() != 3 || heads < 1 || queries.shape[2] % heads != 0) {
    throw std::invalid_argument("expected queries [B, tokens, C] with C a multiple of " +
                                std::to_string(heads) + " heads, not " + ToString(queries.shape));
  }
}

// Every block of queries of every head of every image is a task of its own.
void AttendAll(const KernelContext& context, const Input& queries, int64_t heads,
               const std::vector<Source>& sources, float* out) {
  const size_t tokens = static_cast<size_t>(queries.shape[1]);
  const size_t channels = static_cast<size_t>(queries.shape[2]);
  const size_t width = channels / static_cast<size_t>(heads);
  const size_t blocks = (tokens + kQueryBlock - 1) / kQueryBlock;
  const size_t image_heads = static_cast<size_t>(queries.shape[0] * heads);
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  context.ParallelFor(image_heads * blocks, [&](size_t task) {
    const size_t image = task / blocks / static_cast<size_t>(heads);
    const size_t column = task / blocks % static_cast<size_t>(heads) * width;
    AttentionHead head{width, channels, scale, {}};
    for (const Source& source : sources) {
      const size_t count = static_cast<size_t>(source.tokens);
      const size_t offset = image * count * channels + column;
      head.segments.push_back({source.keys + offset, source.values + offset, count});
    }
    const size_t first = task % blocks * kQueryBlock;
    const size_t offset = (image * tokens + first) * channels + column;
    AttendBlock(head, queries.data + offset, std::min(kQueryBlock, tokens - first), out + offset);
  });
}

}  // namespace

void Attention::InferShapes(ShapeInference& infer) { infer.SetOutput(0, infer.Input(0)); }

Attention::Attention(const KernelInfo& info, SessionContext&) : heads_(info.Int("heads")) {}

void Attention::Compute(KernelContext& context) {
  const Input queries = context.GetInput(0);
  const Input keys = context.GetInput(1);
  const Input values = context.GetInput(2);
  CheckHeads(queries, heads_);
  if (keys.shape != values.shape || keys.shape.size() != 3 || keys.shape[0] != queries.shape[0] ||
      keys.shape[2] != queries.shape[2] || keys.shape[1] < 1) {
    throw std::invalid_argument("keys " + ToString(keys.shape) + " and values " + ToString(values.shape) +
                                " do not fit queries " + ToString(queries.shape));
  }
  float* out = context.GetOutput(0, queries.shape);
  AttendAll(context, queries, heads_, {{keys.data, values.data, keys.shape[1]}}, out);
}

void PatchAttention::InferShapes(ShapeInference& infer) { infer.SetOutput(0, infer.Input(0)); }

PatchAttention::PatchAttention(const KernelInfo& info, SessionContext& session)
    : heads_(info.Int("heads")),
      peers_(info.Ints("peers")),
      tokens_(info.Ints("tokens")),
      index_(static_cast<size_t>(info.Int("index"))),
      fresh_(info.Int("fresh") == 1) {
  const int64_t slot = info.Int("slot");
  if (tokens_.size() != peers_.size() || index_ >= peers_.size()) {
    throw std::invalid_argument("peers, tokens and index do not fit together");
  }
  if (peers_.size() > 1) exchange_.emplace(session, slot);
}

void PatchAttention::Compute(KernelContext& context) {
  const Input queries = context.GetInput(0);
  const Input keys = context.GetInput(1);
  const Input values = context.GetInput(2);
  CheckHeads(queries, heads_);
  if (keys.shape != queries.shape || values.shape != queries.shape || keys.shape[1] != tokens_[index_]) {
    throw std::invalid_argument("expected three [B, " + std::to_string(tokens_[index_]) + ", C], not " +
                                ToString(queries.shape) + ", " + ToString(keys.shape) + " and " +
                                ToString(values.shape));
  }
  float* out = context.GetOutput(0, queries.shape);
  // Peers may be waiting: publish first.
  if (exchange_ && (fresh_ || exchange_->step().publish)) PublishOwn(context, keys, values);
  std::vector<Source> sources;
  for (size_t part = 0; part < peers_.size(); ++part) {
    if (part == index_) {
      sources.push_back({keys.data, values.data, tokens_[part]});
      continue;
    }
    const int64_t tick = fresh_ ? exchange_->step().tick : exchange_->step().read_tick;
    const size_t count = static_cast<size_t>(queries.shape[0] * tokens_[part] * queries.shape[2]);
    const void* data = exchange_->Fetch(peers_[part], tick, 2 * count * sizeof(float));
    const auto* theirs = static_cast<const float*>(data);
    sources.push_back({theirs, theirs + count, tokens_[part]});
  }
  AttendAll(context, queries, heads_, sources, out);
}

// What is published: [2, B, t, C], keys and then values.
void PatchAttention::PublishOwn(const KernelContext& context, const Input& keys, const Input& values) const {
  const size_t count = static_cast<size_t>(Count(keys.shape));
  auto* buffer = static_cast<float*>(exchange_->Buffer(2 * count * sizeof(float)));
  CopyAll(context,
          {{buffer, keys.data, count * sizeof(float)}, {buffer + count, values.data, count * sizeof(float)}});
  exchange_->Publish();
}

}  // namespace distri::ops
