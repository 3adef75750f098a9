// The rows of neighbouring bands around a band of rows.
#pragma once

#include <optional>

#include "ops/exchange.h"
#include "ops/kernel.h"

namespace distri::ops {

// A band of rows as it lies in memory: `planes` times `rows` rows of `width`, a plane every `stride`
// elements.
struct BandRows {
  const float* data;
  size_t planes;
  size_t rows;
  size_t width;
  size_t stride;
};

// One row of each neighbour, as the convolutions of distrifuser (modules/pp/conv2d.py) use it.
// Attributes: slot (its name is given), above, below, fresh.
class Halo {
 public:
  Halo(const KernelInfo& info, SessionContext& session, const char* slot);

  // Shape [B, C, h, W] with the two rows more; unknown rows stay unknown. Throws for other shapes.
  static Shape Extended(Shape shape);

  // Lets the neighbours have the band's first and last row, if this step publishes.
  void Publish(const BandRows& band) const;
  // Writes the neighbours' rows, or zeros where the image ends, into y [B, C, h + 2, W].
  void Fill(const Shape& y_shape, float* y) const;

 private:
  void FillRow(int64_t peer, size_t place, const Shape& y_shape, int64_t row, float* y) const;

  int64_t above_;
  int64_t below_;
  bool fresh_;
  std::optional<Exchange> exchange_;
};

}  // namespace distri::ops
