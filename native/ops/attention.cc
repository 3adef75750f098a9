#include "ops/attention.h"

#include <stdexcept>

#include "ops/attend.h"
#include "ops/copy.h"

namespace distri::ops {
namespace {

void CheckKeys(const Input& queries, const Input& keys, const Input& values) {
  if (keys.shape != values.shape || keys.shape.size() != 3 || keys.shape[0] != queries.shape[0] ||
      keys.shape[2] != queries.shape[2] || keys.shape[1] < 1) {
    throw std::invalid_argument("keys " + ToString(keys.shape) + " and values " + ToString(values.shape) +
                                " do not fit queries " + ToString(queries.shape));
  }
}

// Of scores [B, heads, tokens, T].
ScoreBias BiasOf(const Input& bias, const Shape& scores) {
  const auto fits = [&](size_t axis) {
    return bias.shape[axis] == scores[axis] || (axis < 3 && bias.shape[axis] == 1);
  };
  if (bias.shape.size() != 4 || !fits(0) || !fits(1) || !fits(2) || !fits(3))
    throw std::invalid_argument("a bias " + ToString(bias.shape) + " does not fit scores " +
                                ToString(scores));
  const auto stride = [&](size_t axis) {
    return bias.shape[axis] == 1 ? 0 : Count(bias.shape, axis + 1, bias.shape.size());
  };
  return {bias.data, stride(0), stride(1), stride(2)};
}

}  // namespace

void Attention::InferShapes(ShapeInference& infer) { infer.SetOutput(0, infer.Input(0)); }

Attention::Attention(const KernelInfo& info, SessionContext&) : heads_(info.Int("heads")) {}

void Attention::Compute(KernelContext& context) {
  const Input queries = context.GetInput(0);
  const Input keys = context.GetInput(1);
  const Input values = context.GetInput(2);
  CheckHeads(queries, heads_);
  CheckKeys(queries, keys, values);
  float* out = context.GetOutput(0, queries.shape);
  AttendAll(context, queries, heads_, {{keys.data, values.data, keys.shape[1], keys.shape[1]}}, out);
}

void BiasedAttention::InferShapes(ShapeInference& infer) { infer.SetOutput(0, infer.Input(0)); }

BiasedAttention::BiasedAttention(const KernelInfo& info, SessionContext&)
    : heads_(info.Int("heads")), scale_(info.Float("scale")) {}

void BiasedAttention::Compute(KernelContext& context) {
  const Input queries = context.GetInput(0);
  const Input keys = context.GetInput(1);
  const Input values = context.GetInput(2);
  CheckHeads(queries, heads_);
  CheckKeys(queries, keys, values);
  const int64_t tokens = keys.shape[1];
  const ScoreBias bias = BiasOf(context.GetInput(3), {queries.shape[0], heads_, queries.shape[1], tokens});
  float* out = context.GetOutput(0, queries.shape);
  AttendBiased(context, queries, heads_, scale_, {{keys.data, values.data, tokens, tokens}}, bias, out);
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
  std::vector<Reading> readings;
  std::vector<TokenSource> sources;
  for (size_t part = 0; part < peers_.size(); ++part) {
    if (part == index_) {
      sources.push_back({keys.data, values.data, tokens_[part], tokens_[part]});
      continue;
    }
    const int64_t tick = fresh_ ? exchange_->step().tick : exchange_->step().read_tick;
    const size_t count = static_cast<size_t>(queries.shape[0] * tokens_[part] * queries.shape[2]);
    readings.push_back(exchange_->Fetch(peers_[part], tick, 2 * count * sizeof(float)));
    const auto* theirs = readings.back().as<float>();
    sources.push_back({theirs, theirs + count, tokens_[part], tokens_[part]});
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
