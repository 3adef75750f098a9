#include "ops/gather_tokens.h"

#include <numeric>
#include <stdexcept>

#include "ops/copy.h"

namespace distri::ops {
namespace {

int64_t Sum(const std::vector<int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), int64_t{0});
}

}  // namespace

void GatherTokens::InferShapes(ShapeInference& infer) {
  const int64_t total = Sum(infer.Ints("tokens"));
  for (size_t i = 0; i < 2; ++i) {
    Shape shape = infer.Input(i);
    if (shape.size() != 3) throw std::invalid_argument("expected [B, t, C], not " + ToString(shape));
    shape[1] = total;
    infer.SetOutput(i, shape);
  }
}

GatherTokens::GatherTokens(const KernelInfo& info, SessionContext& session)
    : peers_(info.Ints("peers")),
      tokens_(info.Ints("tokens")),
      index_(static_cast<size_t>(info.Int("index"))),
      fresh_(info.Int("fresh") == 1) {
  const int64_t slot = info.Int("slot");
  if (tokens_.size() != peers_.size() || index_ >= peers_.size()) {
    throw std::invalid_argument("peers, tokens and index do not fit together");
  }
  if (peers_.size() > 1) exchange_.emplace(session, slot);
}

void GatherTokens::Compute(KernelContext& context) {
  const Input keys = context.GetInput(0);
  const Input values = context.GetInput(1);
  if (keys.shape.size() != 3 || keys.shape != values.shape || keys.shape[1] != tokens_[index_]) {
    throw std::invalid_argument("expected two [B, " + std::to_string(tokens_[index_]) + ", C], not " +
                                ToString(keys.shape) + " and " + ToString(values.shape));
  }
  Tensors tensors{keys.shape[0], keys.shape[2], {keys.data, values.data}, {}};
  const Shape shape{tensors.batch, Sum(tokens_), tensors.channels};
  for (size_t i = 0; i < 2; ++i) tensors.all[i] = context.GetOutput(i, shape);

  // Peers may be waiting: publish first.
  if (exchange_ && (fresh_ || exchange_->step().publish)) PublishOwn(context, tensors);
  CopyPart(context, tensors, index_, keys.data, values.data);
  if (!exchange_) return;
  const int64_t tick = fresh_ ? exchange_->step().tick : exchange_->step().read_tick;
  // Each rank begins with the one after it, so that not all read from the same.
  for (size_t i = 1; i < peers_.size(); ++i) {
    const size_t part = (index_ + i) % peers_.size();
    const size_t size = PartSize(tensors, part);
    const auto* data =
        static_cast<const float*>(exchange_->Fetch(peers_[part], tick, 2 * size * sizeof(float)));
    CopyPart(context, tensors, part, data, data + size);
  }
}

// What is published: [2, B, t, C], keys and then values.
void GatherTokens::PublishOwn(const KernelContext& context, const Tensors& tensors) const {
  const size_t size = PartSize(tensors, index_);
  auto* buffer = static_cast<float*>(exchange_->Buffer(2 * size * sizeof(float)));
  CopyAll(context, {{buffer, tensors.own[0], size * sizeof(float)},
                    {buffer + size, tensors.own[1], size * sizeof(float)}});
  exchange_->Publish();
}

void GatherTokens::CopyPart(const KernelContext& context, const Tensors& tensors, size_t part,
                            const float* keys, const float* values) const {
  const size_t channels = static_cast<size_t>(tensors.channels);
  const size_t all_size = static_cast<size_t>(Sum(tokens_)) * channels;
  const size_t part_size = static_cast<size_t>(tokens_[part]) * channels;
  const size_t begin =
      static_cast<size_t>(std::accumulate(tokens_.begin(), tokens_.begin() + part, int64_t{0})) * channels;
  std::vector<Copy> copies;
  for (size_t b = 0; b < static_cast<size_t>(tensors.batch); ++b) {
    const size_t to = b * all_size + begin;
    copies.push_back({tensors.all[0] + to, keys + b * part_size, part_size * sizeof(float)});
    copies.push_back({tensors.all[1] + to, values + b * part_size, part_size * sizeof(float)});
  }
  CopyAll(context, copies);
}

size_t GatherTokens::PartSize(const Tensors& tensors, size_t part) const {
  return static_cast<size_t>(tensors.batch * tokens_[part] * tensors.channels);
}

}  // namespace distri::ops
