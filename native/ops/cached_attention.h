#pragma once

#include <vector>

#include "ops/custom_op.h"
#include "ops/exchange.h"

namespace distri::ops {

// Attention of a band's queries to the tokens of the whole image, whose keys and values are kept from call to
// call: a band's own take the place of those it left the last time, before the product (PipeFusion, arXiv
// 2405.14430). Where several ranks have a part of the band each, they exchange these parts first, always
// fresh.
//
// What was kept belongs to one image, known by the step's read_tick. Bands come in order, and tokens that no
// band of this image has brought yet take no part.
class CachedAttention {
 public:
  static constexpr OpTraits kTraits{"CachedAttention", 4, 1, false};
  static void InferShapes(ShapeInference& infer);

  CachedAttention(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 private:
  // Tokens that one rank brings in this call.
  struct Part {
    int64_t first;
    int64_t tokens;
  };
  // The fourth input: the slot of this call's exchange, then first token and number of tokens of each rank's
  // part.
  struct Call {
    int64_t slot;
    std::vector<Part> parts;
  };

  Call ReadCall(const Input& input) const;
  void Prepare(const Call& call, const Shape& keys);
  void Store(const KernelContext& context, const Part& part, const float* keys, const float* values);
  void ExchangeParts(const KernelContext& context, const Call& call, const Input& keys, const Input& values);

  SessionContext& session_;
  int64_t heads_;
  // The first of those for parts of different sizes.
  int64_t slot_;
  int64_t tokens_;
  std::vector<int64_t> peers_;
  size_t index_;
  // [B, tokens_, C] each.
  std::vector<float> keys_;
  std::vector<float> values_;
  int64_t batch_ = 0;
  int64_t channels_ = 0;
  // Whose they are, and how many of the first tokens there are.
  int64_t image_ = -1;
  int64_t filled_ = 0;
};

}  // namespace distri::ops
