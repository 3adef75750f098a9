#include "ops/replace_rows.h"

#include <cstring>
#include <stdexcept>

#include "ops/copy.h"

namespace distri::ops {

void ReplaceRows::InferShapes(ShapeInference& infer) { infer.SetOutput(0, infer.Input(0)); }

ReplaceRows::ReplaceRows(const KernelInfo& info, SessionContext&)
    : first_(info.Int("first")), last_(info.Int("last")) {}

void ReplaceRows::Compute(KernelContext& context) {
  const Input x = context.GetInput(0);
  const Input rows = context.GetInput(1);
  Shape wanted = x.shape;
  if (wanted.size() == 4 && rows.shape.size() == 4) wanted[2] = rows.shape[2];
  if (x.shape.size() != 4 || rows.shape != wanted || x.shape[2] == 0 || first_ >= rows.shape[2] ||
      last_ >= rows.shape[2]) {
    throw std::invalid_argument("expected [B, C, h, W] and rows for it, not " + ToString(x.shape) + " and " +
                                ToString(rows.shape));
  }
  float* y = context.GetOutput(0, x.shape);
  if (y != x.data) CopyAll(context, {{y, x.data, static_cast<size_t>(Count(x.shape)) * sizeof(float)}});
  const size_t width = static_cast<size_t>(x.shape[3]);
  const size_t height = static_cast<size_t>(x.shape[2]);
  const size_t stride = static_cast<size_t>(rows.shape[2]) * width;
  const size_t bytes = width * sizeof(float);
  for (size_t i = 0; i < static_cast<size_t>(x.shape[0] * x.shape[1]); ++i) {
    float* band = y + i * height * width;
    const float* from = rows.data + i * stride;
    if (first_ >= 0) std::memcpy(band, from + static_cast<size_t>(first_) * width, bytes);
    if (last_ >= 0)
      std::memcpy(band + (height - 1) * width, from + static_cast<size_t>(last_) * width, bytes);
  }
}

}  // namespace distri::ops
