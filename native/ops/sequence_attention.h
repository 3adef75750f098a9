#pragma once

#include <vector>

#include "ops/attention_block.h"
#include "ops/custom_op.h"
#include "ops/exchange.h"

namespace distri::ops {

// Attention of tokens that are spread over ranks, exact: DeepSpeed-Ulysses (arXiv 2309.14509) among `ulysses`
// consecutive ranks, which exchange tokens for heads, and Ring Attention (arXiv 2310.01889) among the ranks
// of the same heads, whose keys and values are attended to block by block in the order of the ring. Tokens
// and heads are divided unevenly where they do not go even. A block is read where its owner left it, and the
// next one arrives while it is worked on.
class SequenceAttention {
 public:
  static constexpr OpTraits kTraits{"SequenceAttention", 3, 1, false};
  static void InferShapes(ShapeInference& infer);

  SequenceAttention(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 private:
  // What all ranks have in common in one call.
  struct Sizes {
    size_t batch;
    size_t channels;
    // Of a head.
    size_t width;
  };

  // Queries that this rank computes for a rank of its Ulysses group, and where their results go.
  struct Task {
    const float* queries;
    float* out;
    size_t tokens;
    // Log-sum-exp of the scores so far, by image, head and query.
    std::vector<float> log_sums;
  };

  bool scatters() const { return ulysses_ > 1; }
  size_t member() const { return index_ % ulysses_; }
  size_t group() const { return index_ / ulysses_; }
  size_t PeerAt(size_t group, size_t member) const { return group * ulysses_ + member; }
  // First channel of a member's heads.
  size_t ChannelOf(size_t member, const Sizes& sizes) const;
  size_t ChannelsOf(size_t member, const Sizes& sizes) const;
  size_t TokensOfGroup() const;

  Sizes CheckInputs(const Input& queries, const Input& keys, const Input& values) const;
  void PublishOwn(const KernelContext& context, const std::vector<const float*>& tensors,
                  const Sizes& sizes) const;
  // Of the channels of this rank's heads, which a peer published as queries (where heads are exchanged), keys
  // and values: `count` of these from the `first` on.
  Reading FetchPart(size_t peer, const Sizes& sizes, size_t first, size_t count) const;
  // The queries of other ranks lie in `readings`.
  std::vector<Task> MakeTasks(const float* queries, float* out, const Sizes& sizes,
                              std::vector<Reading>& readings) const;
  void AttendGroup(const KernelContext& context, size_t group, const Sizes& sizes,
                   std::vector<Task>& tasks) const;
  void GatherHeads(const KernelContext& context, float* out, const Sizes& sizes) const;

  size_t heads_;
  std::vector<int64_t> peers_;
  std::vector<size_t> tokens_;
  size_t index_;
  size_t ulysses_;
  Exchange parts_;
  Exchange mixed_;
};

}  // namespace distri::ops
