#pragma once

#include <optional>
#include <vector>

#include "ops/custom_op.h"
#include "ops/exchange.h"

namespace distri::ops {

// The whole output from the parts of all ranks, as the end of distrifuser's models/distri_sdxl_unet_pp.py.
// Always of this step: it is the barrier that lets the ranks reuse their slots.
class GatherBands {
 public:
  static constexpr OpTraits kTraits{"GatherBands", 1, 1, false};
  static void InferShapes(ShapeInference& infer);

  GatherBands(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 private:
  // Images [batch_start, + batch_count), rows [row_start, + row_count), columns [column_start, +
  // column_count) of the output.
  struct Part {
    int64_t rank;
    int64_t batch_start;
    int64_t batch_count;
    int64_t row_start;
    int64_t row_count;
    int64_t column_start;
    int64_t column_count;

    int64_t size(int64_t channels) const { return batch_count * channels * row_count * column_count; }
  };

  void CheckParts() const;
  void PublishOwn(const KernelContext& context, const Input& x) const;
  static void CopyPart(const KernelContext& context, const Part& part, const float* data,
                       const Shape& y_shape, float* y);

  int64_t batch_;
  int64_t rows_;
  int64_t columns_;
  std::vector<Part> parts_;
  size_t own_ = 0;
  std::optional<Exchange> exchange_;
};

}  // namespace distri::ops
