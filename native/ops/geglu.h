#pragma once

#include "ops/custom_op.h"

namespace distri::ops {

// x * gelu(gate) of the two halves of the last dimension, as diffusers' GEGLU (models/activations.py) after
// its projection.
class GegluOp {
 public:
  static constexpr OpTraits kTraits{"Geglu", 1, 1, false};
  static void InferShapes(ShapeInference& infer);

  GegluOp(const KernelInfo&, SessionContext&) {}
  void Compute(KernelContext& context);
};

}  // namespace distri::ops
