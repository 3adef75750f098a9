// Linear layers of tokens, with the weights where they lie; see docs/operators.md.
#pragma once

#include <optional>

#include "ops/custom_op.h"
#include "ops/linear_block.h"

namespace distri::ops {

class Linear {
 public:
  static constexpr OpTraits kTraits{"Linear", 4, 1, false, 2};
  static void InferShapes(ShapeInference& infer);

  Linear(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 private:
  bool has_bias_;
  bool has_residual_;
  LinearActivation activation_;
  size_t threads_;
  std::optional<PackedWeights> packed_;
};

}  // namespace distri::ops
