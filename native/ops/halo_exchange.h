#pragma once

#include <optional>

#include "ops/custom_op.h"
#include "ops/exchange.h"

namespace distri::ops {

// A band of rows with one row of each neighbour, as the convolutions of distrifuser (modules/pp/conv2d.py)
// use it.
class HaloExchange {
 public:
  static constexpr OpTraits kTraits{"HaloExchange", 1, 1, false};
  static void InferShapes(ShapeInference& infer);

  HaloExchange(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 private:
  void PublishBorders(const Input& x) const;
  // The row at `place` of what `peer` published, or zeros where the image ends, as row `row` of y [B, C, h +
  // 2, W].
  void FillRow(int64_t peer, size_t place, const Shape& y_shape, int64_t row, float* y) const;

  int64_t above_;
  int64_t below_;
  bool fresh_;
  std::optional<Exchange> exchange_;
};

}  // namespace distri::ops
