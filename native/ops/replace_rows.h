#pragma once

#include "ops/custom_op.h"

namespace distri::ops {

// A band whose first and last row are those of another tensor.
class ReplaceRows {
 public:
  static constexpr OpTraits kTraits{"ReplaceRows", 2, 1, true};
  static void InferShapes(ShapeInference& infer);

  ReplaceRows(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 private:
  // Row of the second input, or -1 for a row that stays.
  int64_t first_;
  int64_t last_;
};

}  // namespace distri::ops
