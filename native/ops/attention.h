#pragma once

#include <optional>
#include <vector>

#include "ops/custom_op.h"
#include "ops/exchange.h"

namespace distri::ops {

// Attention of several heads without a mask, scaled by 1 / sqrt(width of a head): torch's
// scaled_dot_product_attention.
class Attention {
 public:
  static constexpr OpTraits kTraits{"Attention", 3, 1, false};
  static void InferShapes(ShapeInference& infer);

  Attention(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 private:
  int64_t heads_;
};

// The same with a bias that is added to the scores, and any scale.
class BiasedAttention {
 public:
  static constexpr OpTraits kTraits{"BiasedAttention", 4, 1, false};
  static void InferShapes(ShapeInference& infer);

  BiasedAttention(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 private:
  int64_t heads_;
  float scale_;
};

// Attention of a band's queries to the tokens of all bands, as distrifuser's modules/pp/attn.py: own keys and
// values of this step, others' of the step that is read. Theirs are read where they lie in shared memory.
class PatchAttention {
 public:
  static constexpr OpTraits kTraits{"PatchAttention", 3, 1, false};
  static void InferShapes(ShapeInference& infer);

  PatchAttention(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 private:
  void PublishOwn(const KernelContext& context, const Input& keys, const Input& values) const;

  int64_t heads_;
  std::vector<int64_t> peers_;
  std::vector<int64_t> tokens_;
  size_t index_;
  bool fresh_;
  std::optional<Exchange> exchange_;
};

}  // namespace distri::ops
