// Linear.
#include <cmath>

#include "test/op_session.h"
#include "test/ops_tests.h"

namespace distri::test {
namespace {

struct LinearCase {
  Shape x;
  int64_t features;
  bool bias;
  bool residual;
  bool gated;
};

LinearCase RandomCase(Fuzz& fuzz) {
  LinearCase layer{{}, 0, fuzz.Coin(), fuzz.Coin(), fuzz.Coin()};
  for (int64_t dims = fuzz.Int(0, 2); dims > 0; --dims) layer.x.push_back(fuzz.Int(1, 11));
  // Now and then more than one chunk of the inner dimension, and more tokens than one thread takes.
  layer.x.push_back(fuzz.Int(0, 9) == 0 ? fuzz.Int(1281, 2700) : fuzz.Int(1, 150));
  if (layer.x.size() > 1 && fuzz.Int(0, 9) == 0) layer.x[0] = 220;
  layer.features = fuzz.Int(1, 140) * (layer.gated ? 2 : 1);
  return layer;
}

double Gelu(double x) { return x * 0.5 * std::erfc(-x * std::sqrt(0.5)); }

// Of tokens [tokens, inner]; weights as torch keeps them.
std::vector<double> Expected(const LinearCase& layer, const Tensor& x, const Tensor& weight,
                             const Tensor& bias, const Tensor& residual) {
  const auto inner = static_cast<size_t>(layer.x.back());
  const auto features = static_cast<size_t>(layer.features);
  const size_t out = layer.gated ? features / 2 : features;
  std::vector<double> y;
  for (size_t token = 0; token < x.floats.size() / inner; ++token) {
    std::vector<double> sums;
    for (size_t feature = 0; feature < features; ++feature) {
      double sum = layer.bias ? bias.floats[feature] : 0;
      for (size_t i = 0; i < inner; ++i) {
        sum += static_cast<double>(x.floats[token * inner + i]) * weight.floats[feature * inner + i];
      }
      sums.push_back(sum);
    }
    for (size_t i = 0; i < out; ++i) {
      const double value = layer.gated ? sums[i] * Gelu(sums[out + i]) : sums[i];
      y.push_back(value + (layer.residual ? residual.floats[token * out + i] : 0));
    }
  }
  return y;
}

void CheckLinear(Fuzz& fuzz, const LinearCase& layer, bool constant) {
  Shape output = layer.x;
  output.back() = layer.gated ? layer.features / 2 : layer.features;
  const Attributes attributes = {{"bias", int64_t{layer.bias}},
                                 {"residual", int64_t{layer.residual}},
                                 {"activation", int64_t{layer.gated}}};
  const Tensor x = fuzz.Floats(layer.x);
  const Tensor weight = fuzz.Floats({layer.features, layer.x.back()}, 0.3f);
  const Tensor bias = fuzz.Floats({layer.features});
  const Tensor residual = fuzz.Floats(output);
  ort::SessionConfig config = Threads(static_cast<int>(fuzz.Int(1, 3)));
  config.share_weights = fuzz.Coin();
  // Inputs that may be left out can only be left out at the end; a residual needs a place for the bias before
  // it.
  Operator op{"Linear", attributes, {layer.x}, output};
  std::vector<Tensor> given = {x};
  std::vector<Tensor> weights = {weight, bias};
  if (!layer.residual && !layer.bias) weights.pop_back();
  if (constant && !layer.residual) {
    op.weights = weights;
  } else {
    for (const Tensor& tensor : weights) {
      op.inputs.push_back(tensor.shape);
      given.push_back(tensor);
    }
    if (layer.residual) {
      op.inputs.push_back(output);
      given.push_back(residual);
    }
  }
  OpSession session(op, config);
  const double roundings = std::sqrt(static_cast<double>(layer.x.back())) * 1e-6;
  CheckClose(session.Run(given), Expected(layer, x, weight, bias, residual), 2e-6 + roundings, "Linear");
}

void LinearIsThatOfDoubles() {
  Fuzz fuzz(20);
  for (int round = 0; round < 60; ++round) {
    const LinearCase layer = RandomCase(fuzz);
    CheckLinear(fuzz, layer, fuzz.Coin());
  }
}

void LinearRefusesWhatDoesNotFit() {
  Fuzz fuzz(21);
  const auto attributes = [](int64_t bias, int64_t residual, int64_t activation) -> Attributes {
    return {{"bias", bias}, {"residual", residual}, {"activation", activation}};
  };
  const auto refused = [&](const std::string& words, const Attributes& own,
                           const std::vector<Shape>& shapes) {
    OpSession session({"Linear", own, shapes, {2, 4}});
    Inputs inputs;
    for (const Shape& shape : shapes) inputs.push_back(fuzz.Floats(shape));
    Expect<NativeError>(words, [&] { session.Run(inputs); });
  };
  refused("weights [4, 5] do not fit [2, 3]", attributes(0, 0, 0), {{2, 3}, {4, 5}});
  refused("weights [5, 3] do not fit [2, 3]", attributes(0, 0, 1), {{2, 3}, {5, 3}});
  refused("biases [3] do not fit [4, 3]", attributes(1, 0, 0), {{2, 3}, {4, 3}, {3}});
  refused("residuals [2, 3] do not fit [2, 4]", attributes(1, 1, 0), {{2, 3}, {4, 3}, {4}, {2, 3}});
}

}  // namespace

std::vector<Test> LinearTests() {
  return {DISTRI_TEST(LinearIsThatOfDoubles), DISTRI_TEST(LinearRefusesWhatDoesNotFit)};
}

}  // namespace distri::test
