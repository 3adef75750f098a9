#pragma once

#include "ops/custom_op.h"
#include "ops/halo.h"

namespace distri::ops {

// A band of rows with one row of each neighbour.
class HaloExchange {
 public:
  static constexpr OpTraits kTraits{"HaloExchange", 1, 1, false};
  static void InferShapes(ShapeInference& infer);

  HaloExchange(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 private:
  Halo halo_;
};

}  // namespace distri::ops
