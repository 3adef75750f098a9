#pragma once

#include "ops/custom_op.h"
#include "ops/grouped_tensor.h"

namespace distri::ops {

// Group normalisation with the biased variance, as torch.nn.functional.group_norm, then an activation.
class GroupNorm {
 public:
  static constexpr OpTraits kTraits{"GroupNorm", 3, 1, true};
  static void InferShapes(ShapeInference& infer);

  GroupNorm(const KernelInfo& info, SessionContext&)
      : spec_(info), float_sums_(info.Int("float_sums") == 1) {}
  void Compute(KernelContext& context);

 private:
  NormSpec spec_;
  bool float_sums_;
};

}  // namespace distri::ops
