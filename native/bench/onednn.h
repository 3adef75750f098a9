// The same products by oneDNN, to compare with.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/timing.h"
#include "device/cpu/product.h"

namespace distri::bench {

// A convolution of [images, rows, columns] positions, or a linear layer where the kernel is 1.
struct ProductShape {
  int64_t images = 1;
  int64_t rows = 1;
  int64_t columns = 1;
  int64_t inner = 0;
  // Of the weight: with GEGLU twice as many as results.
  int64_t features = 0;
  int64_t kernel = 1;
  int64_t stride = 1;
  device::cpu::Activation activation = device::cpu::Activation::kNone;
  bool residual = false;
};

class OneDnn {
 public:
  virtual ~OneDnn() = default;
  // The fastest of its ways to compute this, in any layout of its own; null where the library was not found.
  // It knows no GEGLU: two products, the second multiplied by the first. What is added to the channels of
  // each image, it leaves out. Throws std::invalid_argument where there is no way.
  static std::unique_ptr<OneDnn> Make(const ProductShape& shape, device::Type type, int threads);
  virtual void Run() = 0;
  virtual const std::string& name() const = 0;
  // Where it has weights.
  virtual const std::vector<Range>& weights() const = 0;
};

}  // namespace distri::bench
