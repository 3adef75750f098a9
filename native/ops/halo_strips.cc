#include "ops/halo_strips.h"

#include <cstring>
#include <stdexcept>

namespace distri::ops {
namespace {

// Three rows around the band's first row, and three around its last.
constexpr int64_t kRows = 6;

Shape Strips(Shape shape) {
  if (shape.size() != 4 || shape[2] == 0)
    throw std::invalid_argument("expected [B, C, h, W], not " + ToString(shape));
  shape[2] = kRows;
  return shape;
}

}  // namespace

void HaloStrips::InferShapes(ShapeInference& infer) { infer.SetOutput(0, Strips(infer.Input(0))); }

HaloStrips::HaloStrips(const KernelInfo& info, SessionContext& session) : halo_(info, session, "slot") {}

void HaloStrips::Compute(KernelContext& context) {
  const Input x = context.GetInput(0);
  const Shape shape = Strips(x.shape);
  float* y = context.GetOutput(0, shape);
  const size_t planes = static_cast<size_t>(x.shape[0] * x.shape[1]);
  const size_t rows = static_cast<size_t>(x.shape[2]);
  const size_t width = static_cast<size_t>(x.shape[3]);
  halo_.Publish({x.data, planes, rows, width, rows * width});
  halo_.Fill(shape, y);
  const size_t bytes = width * sizeof(float);
  for (size_t i = 0; i < planes; ++i) {
    const float* first = x.data + i * rows * width;
    const float* last = first + (rows - 1) * width;
    float* strip = y + i * kRows * width;
    float* below = strip + 5 * width;
    std::memcpy(strip + width, first, bytes);
    std::memcpy(strip + 4 * width, last, bytes);
    // A band of one row has its neighbours on both sides.
    std::memcpy(strip + 2 * width, rows > 1 ? first + width : below, bytes);
    std::memcpy(strip + 3 * width, rows > 1 ? last - width : strip, bytes);
  }
}

}  // namespace distri::ops
