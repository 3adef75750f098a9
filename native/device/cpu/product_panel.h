// How the features of a product are divided into panels.
#pragma once

#include <algorithm>
#include <cstdint>

#include "device/cpu/product.h"
#include "device/cpu/product_kernel.h"

namespace distri::device::cpu {

// Panels of GEGLU have values in one half of their lanes and their gates in the other.
struct Panels {
  int64_t features;
  int64_t lanes;
  bool geglu;

  Panels(const WeightShape& shape, int64_t lanes_)
      : features(shape.features), lanes(lanes_), geglu(shape.geglu) {}

  // Results of a panel at most, and of all.
  int64_t Width() const { return geglu ? lanes / 2 : lanes; }
  int64_t Results() const { return geglu ? features / 2 : features; }

  int64_t Count() const { return (Results() + Width() - 1) / Width(); }
  int64_t WidthOf(int64_t panel) const { return std::min(Width(), Results() - panel * Width()); }

  // The feature of a lane, or -1 where a panel is narrower than others.
  int64_t FeatureOf(int64_t panel, int64_t lane) const {
    const int64_t result = panel * Width() + lane % Width();
    return result < Results() ? lane / Width() * Results() + result : -1;
  }
};

}  // namespace distri::device::cpu
