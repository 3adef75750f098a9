#include "ops/geglu.h"

#include <algorithm>
#include <stdexcept>

#include "ops/loops.h"

namespace distri::ops {
namespace {

Shape HalfOf(Shape shape) {
  if (shape.empty() || shape.back() % 2 != 0) {
    throw std::invalid_argument("the last dimension of " + ToString(shape) + " has no halves");
  }
  shape.back() /= 2;
  return shape;
}

}  // namespace

void GegluOp::InferShapes(ShapeInference& infer) { infer.SetOutput(0, HalfOf(infer.Input(0))); }

void GegluOp::Compute(KernelContext& context) {
  const Input x = context.GetInput(0);
  const Shape shape = HalfOf(x.shape);
  float* y = context.GetOutput(0, shape);
  const size_t width = static_cast<size_t>(shape.back());
  const size_t rows = static_cast<size_t>(Count(shape, 0, shape.size() - 1));
  // Enough work in a task to be worth handing to a thread.
  const size_t task_rows = std::max<size_t>(1, 16384 / std::max<size_t>(1, width));
  context.ParallelFor((rows + task_rows - 1) / task_rows, [&](size_t task) {
    for (size_t row = task * task_rows; row < std::min(rows, (task + 1) * task_rows); ++row) {
      const float* values = x.data + row * 2 * width;
      Geglu(values, values + width, y + row * width, width);
    }
  });
}

}  // namespace distri::ops
