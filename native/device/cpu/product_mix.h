// Weights whose segments are sums of those of another.
#pragma once

#include <cstdint>
#include <vector>

#include "device/cpu/product.h"

namespace distri::device::cpu {

// Of `shape` with segments that are sums of those of `source` times `factors` [segments of shape, segments of
// source], as float32 [features, inner, segments].
std::vector<float> MixSegments(const WeightShape& shape, const WeightSource& source,
                               const std::vector<double>& factors, Pool& pool);

}  // namespace distri::device::cpu
