#include "ops/grouped_tensor.h"

#include <cmath>
#include <stdexcept>

namespace distri::ops {

NormSpec::NormSpec(const KernelInfo& info)
    : groups(info.Int("groups")), epsilon(info.Float("epsilon")), silu(info.Int("activation") == 1) {
  if (groups < 1) throw std::invalid_argument("groups is " + std::to_string(groups));
}

GroupedTensor::GroupedTensor(const KernelContext& context, const NormSpec& spec)
    : spec_(spec), x_(context.GetInput(0)), scale_(context.GetInput(1)), bias_(context.GetInput(2)) {
  if (x_.shape.size() < 2 || x_.shape[1] % spec.groups != 0) {
    throw std::invalid_argument("shape " + ToString(x_.shape) + " can't be split into " +
                                std::to_string(spec.groups) + " groups of channels");
  }
  batch_ = x_.shape[0];
  channels_ = x_.shape[1];
  channel_size_ = static_cast<size_t>(Count(x_.shape, 2, x_.shape.size()));
  if (Count(scale_.shape) != channels_ || Count(bias_.shape) != channels_) {
    throw std::invalid_argument("scale and bias need " + std::to_string(channels_) + " elements");
  }
}

Moments GroupedTensor::GroupMoments(size_t index) const {
  return SumMoments(x_.data + index * group_size(), group_size());
}

Moments GroupedTensor::GroupMomentsInFloat(size_t index) const {
  const size_t group_channels = static_cast<size_t>(channels_ / spec_.groups);
  float sum = 0;
  float squares = 0;
  for (size_t channel = index * group_channels; channel < (index + 1) * group_channels; ++channel) {
    const float* x = x_.data + channel * channel_size_;
    float channel_sum = 0;
    float channel_squares = 0;
    for (size_t i = 0; i < channel_size_; ++i) {
      channel_sum += x[i];
      channel_squares += x[i] * x[i];
    }
    sum += channel_sum;
    squares += channel_squares;
  }
  return {sum, squares};
}

void GroupedTensor::Normalize(size_t index, double mean, double variance, float* y, size_t stride) const {
  const double inverse = 1.0 / std::sqrt(variance + spec_.epsilon);
  const size_t group_channels = static_cast<size_t>(channels_ / spec_.groups);
  const size_t first = index % static_cast<size_t>(spec_.groups) * group_channels;
  for (size_t i = 0; i < group_channels; ++i) {
    const double scale = scale_.data[first + i] * inverse;
    const double shift = bias_.data[first + i] - mean * scale;
    const size_t channel = index * group_channels + i;
    const auto apply = spec_.silu ? AffineSilu : Affine;
    apply(x_.data + channel * channel_size_, y + channel * stride, channel_size_, static_cast<float>(scale),
          static_cast<float>(shift));
  }
}

}  // namespace distri::ops
