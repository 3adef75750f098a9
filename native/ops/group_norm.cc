#include "ops/group_norm.h"

#include <algorithm>

namespace distri::ops {

void GroupNorm::InferShapes(ShapeInference& infer) { infer.SetOutput(0, infer.Input(0)); }

void GroupNorm::Compute(KernelContext& context) {
  const GroupedTensor tensor(context, spec_);
  float* y = context.GetOutput(0, tensor.x().shape);
  const double size = static_cast<double>(tensor.group_size());
  context.ParallelFor(tensor.count(), [&](size_t index) {
    const Moments moments = float_sums_ ? tensor.GroupMomentsInFloat(index) : tensor.GroupMoments(index);
    const double mean = moments.sum / size;
    const double variance = std::max(moments.squares / size - mean * mean, 0.0);
    tensor.Normalize(index, mean, variance, y, tensor.channel_size());
  });
}

}  // namespace distri::ops
