// The same products by oneDNN, to compare with.
#pragma once

#include <cstdint>
#include <memory>

#include "device/strided.h"

namespace distri::bench {

// A convolution of [images, rows, columns] positions, or a linear layer where the kernel is 1.
struct ProductShape {
  int64_t images;
  int64_t rows;
  int64_t columns;
  int64_t inner;
  int64_t features;
  int64_t kernel;
  int64_t stride;
  bool geglu;
};

class OneDnn {
 public:
  virtual ~OneDnn() = default;
  // Null where the library was not found. It knows no GEGLU: there only the product is computed.
  static std::unique_ptr<OneDnn> Make(const ProductShape& shape, device::Type type, int threads);
  virtual void Run() = 0;
};

}  // namespace distri::bench
