#include "ops/cached_attention.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "ops/attend.h"
#include "ops/copy.h"

namespace distri::ops {
namespace {

// Places come as floats, as all that operators are given.
int64_t AsIndex(float number) {
  constexpr float kMostExact = 16777216.0f;
  if (number >= 0 && number <= kMostExact && std::trunc(number) == number)
    return static_cast<int64_t>(number);
  throw std::invalid_argument(std::to_string(number) + " is no place in an image");
}

}  // namespace

void CachedAttention::InferShapes(ShapeInference& infer) { infer.SetOutput(0, infer.Input(0)); }

CachedAttention::CachedAttention(const KernelInfo& info, SessionContext& session)
    : session_(session),
      heads_(info.Int("heads")),
      slot_(info.Int("slot")),
      tokens_(info.Int("tokens")),
      peers_(info.Ints("peers")),
      index_(static_cast<size_t>(info.Int("index"))) {
  if (index_ >= peers_.size()) throw std::invalid_argument("peers and index do not fit together");
  // Without a step there is no telling one image from the next.
  session.exchanges = true;
}

void CachedAttention::Compute(KernelContext& context) {
  const Input queries = context.GetInput(0);
  const Input keys = context.GetInput(1);
  const Input values = context.GetInput(2);
  const Call call = ReadCall(context.GetInput(3));
  CheckHeads(queries, heads_);
  if (keys.shape != queries.shape || values.shape != queries.shape ||
      keys.shape[1] != call.parts[index_].tokens) {
    throw std::invalid_argument("expected three [B, " + std::to_string(call.parts[index_].tokens) +
                                ", C], not " + ToString(queries.shape) + ", " + ToString(keys.shape) +
                                " and " + ToString(values.shape));
  }
  float* out = context.GetOutput(0, queries.shape);
  Prepare(call, keys.shape);
  if (peers_.size() > 1) ExchangeParts(context, call, keys, values);
  Store(context, call.parts[index_], keys.data, values.data);
  AttendAll(context, queries, heads_, {{keys_.data(), values_.data(), filled_, tokens_}}, out);
}

CachedAttention::Call CachedAttention::ReadCall(const Input& input) const {
  if (Count(input.shape) != static_cast<int64_t>(1 + 2 * peers_.size())) {
    throw std::invalid_argument("expected a slot and two numbers for each of " +
                                std::to_string(peers_.size()) + " ranks, not " + ToString(input.shape));
  }
  Call call{slot_ + AsIndex(input.data[0]), {}};
  for (size_t peer = 0; peer < peers_.size(); ++peer) {
    const float* part = input.data + 1 + 2 * peer;
    call.parts.push_back({AsIndex(part[0]), AsIndex(part[1])});
  }
  return call;
}

// Makes room, forgets another image, and sees to it that the band follows on what is there.
void CachedAttention::Prepare(const Call& call, const Shape& keys) {
  if (batch_ != keys[0] || channels_ != keys[2]) {
    batch_ = keys[0];
    channels_ = keys[2];
    keys_.resize(static_cast<size_t>(batch_ * tokens_ * channels_));
    values_.resize(keys_.size());
    image_ = -1;
  }
  if (image_ != session_.step->read_tick) {
    image_ = session_.step->read_tick;
    filled_ = 0;
  }
  int64_t end = call.parts.front().first;
  if (end > filled_) {
    throw std::invalid_argument("keys and values of tokens " + std::to_string(filled_) + " to " +
                                std::to_string(end - 1) + " are not there yet: the bands came out of order");
  }
  for (const Part& part : call.parts) {
    if (part.first != end || part.tokens < 1)
      throw std::invalid_argument("the band's parts are not in order");
    end += part.tokens;
  }
  if (end > tokens_) {
    throw std::invalid_argument("the band ends at token " + std::to_string(end) + " of " +
                                std::to_string(tokens_));
  }
  filled_ = std::max(filled_, end);
}

// Keys and values of a part, [B, tokens of the part, C] each, to their place in the image.
void CachedAttention::Store(const KernelContext& context, const Part& part, const float* keys,
                            const float* values) {
  const size_t bytes = static_cast<size_t>(part.tokens * channels_) * sizeof(float);
  std::vector<Copy> copies;
  for (int64_t image = 0; image < batch_; ++image) {
    const int64_t to = (image * tokens_ + part.first) * channels_;
    const int64_t from = image * part.tokens * channels_;
    copies.push_back({keys_.data() + to, keys + from, bytes});
    copies.push_back({values_.data() + to, values + from, bytes});
  }
  CopyAll(context, copies);
}

// What is published: [2, B, tokens of the part, C], keys and then values.
void CachedAttention::ExchangeParts(const KernelContext& context, const Call& call, const Input& keys,
                                    const Input& values) {
  const Exchange exchange(session_, call.slot);
  const int64_t tick = session_.step->tick;
  const size_t own = static_cast<size_t>(Count(keys.shape));
  auto* buffer = static_cast<float*>(exchange.Buffer(2 * own * sizeof(float)));
  CopyAll(context,
          {{buffer, keys.data, own * sizeof(float)}, {buffer + own, values.data, own * sizeof(float)}});
  exchange.Publish();
  for (size_t peer = 0; peer < peers_.size(); ++peer) {
    if (peer == index_) continue;
    const Part& part = call.parts[peer];
    const size_t count = static_cast<size_t>(batch_ * part.tokens * channels_);
    const Reading reading = exchange.Fetch(peers_[peer], tick, 2 * count * sizeof(float));
    const auto* theirs = reading.as<float>();
    Store(context, part, theirs, theirs + count);
  }
}

}  // namespace distri::ops
