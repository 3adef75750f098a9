#include "ops/linear.h"

#include <algorithm>
#include <stdexcept>

namespace distri::ops {
namespace {

// Tokens for which packing a panel is worth while.
constexpr size_t kFewestTokens = 96;
// So that threads that are slower than others can do less.
constexpr size_t kTasksPerThread = 4;

Shape OutShape(Shape x, const Shape& weight, LinearActivation activation) {
  const bool halves = activation == LinearActivation::kGeglu;
  if (x.empty() || weight.size() != 2 || x.back() != weight[1] || (halves && weight[0] % 2 != 0)) {
    throw std::invalid_argument("weights " + ToString(weight) + " do not fit " + ToString(x));
  }
  x.back() = halves ? weight[0] / 2 : weight[0];
  return x;
}

}  // namespace

void Linear::InferShapes(ShapeInference& infer) {
  const auto activation = static_cast<LinearActivation>(infer.Int("activation"));
  infer.SetOutput(0, OutShape(infer.Input(0), infer.Input(1), activation));
}

// Weights of the wrong shape are reported when the operator is run.
Linear::Linear(const KernelInfo& info, SessionContext& session)
    : has_bias_(info.Int("bias") == 1),
      has_residual_(info.Int("residual") == 1),
      activation_(static_cast<LinearActivation>(info.Int("activation"))),
      threads_(static_cast<size_t>(session.threads)) {
  if (!session.private_weights) return;
  const std::optional<Input> weight = info.ConstantInput(1);
  if (!weight || weight->shape.size() != 2) return;
  packed_.emplace(weight->data, static_cast<size_t>(weight->shape[1]), static_cast<size_t>(weight->shape[0]),
                  activation_);
}

// Every panel is a task of its own; where they are few for the threads, each for part of the tokens.
void Linear::Compute(KernelContext& context) {
  const Input x = context.GetInput(0);
  const Input weight = context.GetInput(1);
  const Shape shape = OutShape(x.shape, weight.shape, activation_);
  const float* bias = nullptr;
  if (has_bias_) {
    const Input input = context.GetInput(2);
    if (input.shape != Shape{weight.shape[0]}) {
      throw std::invalid_argument("biases " + ToString(input.shape) + " do not fit " +
                                  ToString(weight.shape));
    }
    bias = input.data;
  }
  const float* residual = nullptr;
  if (has_residual_) {
    const Input input = context.GetInput(3);
    if (input.shape != shape) {
      throw std::invalid_argument("residuals " + ToString(input.shape) + " do not fit " + ToString(shape));
    }
    residual = input.data;
  }
  const size_t inner = static_cast<size_t>(weight.shape[1]);
  const size_t features = static_cast<size_t>(weight.shape[0]);
  float* y = context.GetOutput(0, shape);
  const float* packed = packed_ ? packed_->data() : nullptr;
  const LinearLayer layer{x.data, weight.data, packed, bias, residual, y, inner, features, activation_};
  const size_t tokens = static_cast<size_t>(Count(x.shape, 0, x.shape.size() - 1));
  const size_t panels = layer.Panels();
  const size_t wanted = threads_ == 1 ? 1 : (threads_ * kTasksPerThread + panels - 1) / panels;
  const size_t parts = std::max<size_t>(1, std::min(wanted, tokens / kFewestTokens));
  context.ParallelFor(panels * parts, [&](size_t task) {
    const size_t part = task % parts;
    LinearPanel(layer, task / parts, tokens * part / parts, tokens * (part + 1) / parts);
  });
}

}  // namespace distri::ops
