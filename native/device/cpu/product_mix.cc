#include "device/cpu/product_mix.h"

#include "device/cpu/bfloat16.h"

namespace distri::device::cpu {
namespace {

double ElementOf(const WeightSource& source, int64_t index) {
  if (source.type == Type::kFloat32) return reinterpret_cast<const float*>(source.data)[index];
  return FromBFloat16(reinterpret_cast<const uint16_t*>(source.data)[index]);
}

}  // namespace

std::vector<float> MixSegments(const WeightShape& shape, const WeightSource& source,
                               const std::vector<double>& factors, Pool& pool) {
  const int64_t segments = shape.segments;
  const int64_t terms = static_cast<int64_t>(factors.size()) / segments;
  std::vector<float> mixed(static_cast<size_t>(shape.features * shape.inner * segments));
  pool.Run(shape.features, [&](int64_t feature) {
    float* to = mixed.data() + feature * shape.inner * segments;
    for (int64_t inner = 0; inner < shape.inner; ++inner) {
      const int64_t from = feature * source.feature_stride + inner * source.inner_stride;
      for (int64_t segment = 0; segment < segments; ++segment) {
        double sum = 0;
        for (int64_t term = 0; term < terms; ++term) {
          sum += factors[static_cast<size_t>(segment * terms + term)] *
                 ElementOf(source, from + term * source.segment_stride);
        }
        *to++ = static_cast<float>(sum);
      }
    }
  });
  return mixed;
}

}  // namespace distri::device::cpu
