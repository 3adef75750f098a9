// Attention of a block of queries of one head: the loops that attention spends its time in.
#pragma once

#include <cstddef>
#include <vector>

namespace distri::ops {

// Keys and values of some tokens, one token every `stride` elements.
struct AttentionSegment {
  const float* keys;
  const float* values;
  size_t tokens;
};

// What is added to scores, from the first query of a block and the first token on; null data for nothing.
struct AttentionBias {
  const float* data = nullptr;
  size_t query_stride = 0;
  size_t key_stride = 0;
};

struct AttentionHead {
  // Elements of a head, and from one token to the next.
  size_t width;
  size_t stride;
  float scale;
  // All tokens that are attended to, in order.
  std::vector<AttentionSegment> segments;
  AttentionBias bias{};
};

// Queries of a block: one per lane of the vectors that the work is done in.
constexpr size_t kQueryBlock = 64;

// out = softmax(scale * queries * keys^T + bias) * values for up to kQueryBlock queries, with the keys taken
// block by block (online softmax: FlashAttention, Dao et al. 2022).
void AttendBlock(const AttentionHead& head, const float* queries, size_t count, float* out);

// Log-sum-exp of no scores.
constexpr float kNothingAttended = -1e30f;

// The same with some of the keys: `out` becomes what it is of all keys so far, and `log_sums` (one per query,
// at first kNothingAttended) the logarithms of the sums of their exponentials, by which parts are merged.
void AttendPart(const AttentionHead& head, const float* queries, size_t count, float* out, float* log_sums);

}  // namespace distri::ops
