#include "ops/sequence_attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <stdexcept>

namespace distri::ops {
namespace {

// Tokens that one thread copies at a time.
constexpr size_t kCopyBlock = 64;

}  // namespace

void SequenceAttention::InferShapes(ShapeInference& infer) { infer.SetOutput(0, infer.Input(0)); }

SequenceAttention::SequenceAttention(const KernelInfo& info, SessionContext& session)
    : heads_(static_cast<size_t>(info.Int("heads"))),
      peers_(info.Ints("peers")),
      index_(static_cast<size_t>(info.Int("index"))),
      ulysses_(static_cast<size_t>(info.Int("ulysses"))),
      parts_(session, info.Int("slot")),
      mixed_(session, info.Int("mixed_slot")) {
  for (const int64_t count : info.Ints("tokens")) tokens_.push_back(static_cast<size_t>(count));
  if (tokens_.size() != peers_.size() || index_ >= peers_.size() || ulysses_ < 1 ||
      peers_.size() % ulysses_ != 0) {
    throw std::invalid_argument("peers, tokens, index and ulysses do not fit together");
  }
}

void SequenceAttention::Compute(KernelContext& context) {
  const Input queries = context.GetInput(0);
  const Input keys = context.GetInput(1);
  const Input values = context.GetInput(2);
  const Sizes sizes = CheckInputs(queries, keys, values);
  float* out = context.GetOutput(0, queries.shape);
  // Peers may be waiting: publish first.
  if (scatters()) {
    PublishOwn(context, {queries.data, keys.data, values.data}, sizes);
  } else {
    PublishOwn(context, {keys.data, values.data}, sizes);
  }
  if (ChannelsOf(member(), sizes) > 0) {
    std::vector<Reading> readings;
    std::vector<Task> tasks = MakeTasks(queries.data, out, sizes, readings);
    const size_t groups = peers_.size() / ulysses_;
    for (size_t turn = 0; turn < groups; ++turn)
      AttendGroup(context, (group() + groups - turn) % groups, sizes, tasks);
    if (scatters()) mixed_.Publish();
  }
  if (scatters()) GatherHeads(context, out, sizes);
}

SequenceAttention::Sizes SequenceAttention::CheckInputs(const Input& queries, const Input& keys,
                                                        const Input& values) const {
  const Shape& shape = queries.shape;
  if (shape.size() != 3 || keys.shape != shape || values.shape != shape ||
      static_cast<size_t>(shape[1]) != tokens_[index_] || static_cast<size_t>(shape[2]) % heads_ != 0) {
    throw std::invalid_argument("expected three [B, " + std::to_string(tokens_[index_]) +
                                ", C] with C a multiple of " + std::to_string(heads_) + " heads, not " +
                                ToString(shape) + ", " + ToString(keys.shape) + " and " +
                                ToString(values.shape));
  }
  const size_t channels = static_cast<size_t>(shape[2]);
  return {static_cast<size_t>(shape[0]), channels, channels / heads_};
}

size_t SequenceAttention::ChannelOf(size_t member, const Sizes& sizes) const {
  return sizes.width * (member * (heads_ / ulysses_) + std::min(member, heads_ % ulysses_));
}

size_t SequenceAttention::ChannelsOf(size_t member, const Sizes& sizes) const {
  return ChannelOf(member + 1, sizes) - ChannelOf(member, sizes);
}

size_t SequenceAttention::TokensOfGroup() const {
  const auto first = tokens_.begin() + static_cast<std::ptrdiff_t>(PeerAt(group(), 0));
  return std::accumulate(first, first + static_cast<std::ptrdiff_t>(ulysses_), size_t{0});
}

// What is published: for each member of a Ulysses group, the channels of its heads of each tensor, [B, t,
// C'].
void SequenceAttention::PublishOwn(const KernelContext& context, const std::vector<const float*>& tensors,
                                   const Sizes& sizes) const {
  const size_t rows = sizes.batch * tokens_[index_];
  const size_t bytes = tensors.size() * rows * sizes.channels * sizeof(float);
  auto* buffer = static_cast<float*>(parts_.Buffer(bytes));
  context.ParallelFor((rows + kCopyBlock - 1) / kCopyBlock, [&](size_t block) {
    const size_t first = block * kCopyBlock;
    const size_t end = std::min(rows, first + kCopyBlock);
    for (size_t to = 0; to < ulysses_; ++to) {
      const size_t start = ChannelOf(to, sizes);
      const size_t count = ChannelsOf(to, sizes);
      for (size_t tensor = 0; tensor < tensors.size(); ++tensor) {
        float* part = buffer + rows * (tensors.size() * start + tensor * count);
        for (size_t row = first; row < end; ++row)
          std::memcpy(part + row * count, tensors[tensor] + row * sizes.channels + start,
                      count * sizeof(float));
      }
    }
  });
  parts_.Publish();
}

Reading SequenceAttention::FetchPart(size_t peer, const Sizes& sizes, size_t first, size_t count) const {
  const size_t tensors = scatters() ? 3 : 2;
  const size_t rows = sizes.batch * tokens_[peer] * sizeof(float);
  const size_t own = rows * ChannelsOf(member(), sizes);
  return parts_.FetchPart(peers_[peer], parts_.step().tick, tensors * rows * sizes.channels,
                          tensors * rows * ChannelOf(member(), sizes) + first * own, count * own);
}

std::vector<SequenceAttention::Task> SequenceAttention::MakeTasks(const float* queries, float* out,
                                                                  const Sizes& sizes,
                                                                  std::vector<Reading>& readings) const {
  const size_t channels = ChannelsOf(member(), sizes);
  const size_t per_token = sizes.batch * channels;
  const auto make = [&](const float* from, float* to, size_t tokens) {
    const size_t sums = sizes.batch * channels / sizes.width * tokens;
    return Task{from, to, tokens, std::vector<float>(sums, kNothingAttended)};
  };
  std::vector<Task> tasks;
  if (!scatters()) {
    tasks.push_back(make(queries, out, tokens_[index_]));
    return tasks;
  }
  auto* buffer = static_cast<float*>(mixed_.Buffer(per_token * TokensOfGroup() * sizeof(float)));
  for (size_t i = 0; i < ulysses_; ++i) {
    const size_t peer = PeerAt(group(), i);
    readings.push_back(FetchPart(peer, sizes, 0, 1));
    tasks.push_back(make(readings.back().as<float>(), buffer, tokens_[peer]));
    buffer += per_token * tokens_[peer];
  }
  return tasks;
}

// Every block of queries of every head of every image of every task is worked on alone.
void SequenceAttention::AttendGroup(const KernelContext& context, size_t group, const Sizes& sizes,
                                    std::vector<Task>& tasks) const {
  const size_t channels = ChannelsOf(member(), sizes);
  const size_t heads = channels / sizes.width;
  std::vector<Reading> readings;
  std::vector<AttentionSegment> sources;
  for (size_t i = 0; i < ulysses_; ++i) {
    const size_t peer = PeerAt(group, i);
    const size_t count = sizes.batch * tokens_[peer] * channels;
    readings.push_back(FetchPart(peer, sizes, scatters() ? 1 : 0, 2));
    const auto* keys = readings.back().as<float>();
    sources.push_back({keys, keys + count, tokens_[peer]});
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(sizes.width));
  for (Task& task : tasks) {
    const size_t blocks = (task.tokens + kQueryBlock - 1) / kQueryBlock;
    context.ParallelFor(sizes.batch * heads * blocks, [&](size_t item) {
      const size_t image = item / blocks / heads;
      const size_t column = item / blocks % heads * sizes.width;
      AttentionHead head{sizes.width, channels, scale, {}};
      for (const AttentionSegment& source : sources) {
        const size_t offset = image * source.tokens * channels + column;
        head.segments.push_back({source.keys + offset, source.values + offset, source.tokens});
      }
      const size_t first = item % blocks * kQueryBlock;
      const size_t offset = (image * task.tokens + first) * channels + column;
      AttendPart(head, task.queries + offset, std::min(kQueryBlock, task.tokens - first), task.out + offset,
                 task.log_sums.data() + item / blocks * task.tokens + first);
    });
  }
}

// Every member of the group has all its tokens' results for some heads; here come together all heads of some
// tokens.
void SequenceAttention::GatherHeads(const KernelContext& context, float* out, const Sizes& sizes) const {
  const size_t own = tokens_[index_];
  size_t before = 0;
  for (size_t i = 0; i < member(); ++i) before += tokens_[PeerAt(group(), i)];
  // Each rank begins with the one after it, so that not all read from the same.
  for (size_t i = 1; i <= ulysses_; ++i) {
    const size_t from = (member() + i) % ulysses_;
    const size_t count = ChannelsOf(from, sizes);
    if (count == 0) continue;
    const size_t start = ChannelOf(from, sizes);
    const size_t per_token = sizes.batch * count;
    const size_t token_bytes = per_token * sizeof(float);
    const Reading reading =
        mixed_.FetchPart(peers_[PeerAt(group(), from)], mixed_.step().tick, token_bytes * TokensOfGroup(),
                         token_bytes * before, token_bytes * own);
    const auto* part = reading.as<float>();
    const size_t rows = sizes.batch * own;
    context.ParallelFor((rows + kCopyBlock - 1) / kCopyBlock, [&](size_t block) {
      const size_t end = std::min(rows, (block + 1) * kCopyBlock);
      for (size_t row = block * kCopyBlock; row < end; ++row)
        std::memcpy(out + row * sizes.channels + start, part + row * count, count * sizeof(float));
    });
  }
}

}  // namespace distri::ops
