#pragma once

#include "ops/custom_op.h"
#include "ops/halo.h"

namespace distri::ops {

// What a 3x3 convolution needs for the first and the last row of a band, without a copy of the rest.
class HaloStrips {
 public:
  static constexpr OpTraits kTraits{"HaloStrips", 1, 1, false};
  static void InferShapes(ShapeInference& infer);

  HaloStrips(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 private:
  Halo halo_;
};

}  // namespace distri::ops
