// Group normalisation over [batch, channels, ...]: what GroupNorm and PatchGroupNorm have in common.
#pragma once

#include "ops/kernel.h"
#include "ops/loops.h"

namespace distri::ops {

// The attributes of both operators.
struct NormSpec {
  explicit NormSpec(const KernelInfo& info);

  int64_t groups;
  double epsilon;
  bool silu;
};

// The tensors of one call, seen as batch * groups arrays that are normalised each by itself.
class GroupedTensor {
 public:
  // Reads inputs X, scale, bias. Throws when they do not fit.
  GroupedTensor(const KernelContext& context, const NormSpec& spec);

  const Input& x() const { return x_; }

  size_t count() const { return static_cast<size_t>(batch_ * spec_.groups); }
  // Elements of one group of one image.
  size_t group_size() const { return static_cast<size_t>(channels_ / spec_.groups) * channel_size_; }

  Moments GroupMoments(size_t index) const;
  // The same with the rounding of torch's GroupNorm for tensors whose channels come last: each channel's
  // numbers are added up one by one in float32.
  Moments GroupMomentsInFloat(size_t index) const;
  // y = activation((X - mean) / sqrt(variance + epsilon) * scale + bias) for one group of one image; `y` has
  // a channel of X every `stride` elements.
  void Normalize(size_t index, double mean, double variance, float* y, size_t stride) const;
  // Elements of one channel of one image.
  size_t channel_size() const { return channel_size_; }

 private:
  const NormSpec& spec_;
  Input x_;
  Input scale_;
  Input bias_;
  int64_t batch_;
  int64_t channels_;
  size_t channel_size_;
};

}  // namespace distri::ops
