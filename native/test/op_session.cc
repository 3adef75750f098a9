#include "test/op_session.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace distri::test {
namespace {

std::string InputName(size_t index) { return "x" + std::to_string(index); }

std::string ModelOf(const Operator& op) {
  Model model;
  Node node{op.name, "distri", {}, {"y"}, op.attributes};
  for (size_t i = 0; i < op.inputs.size(); ++i) {
    node.inputs.push_back(InputName(i));
    model.inputs.push_back({InputName(i), op.inputs[i]});
  }
  for (size_t i = 0; i < op.weights.size(); ++i) {
    node.inputs.push_back("w" + std::to_string(i));
    model.weights.push_back({node.inputs.back(), op.weights[i].shape, op.weights[i].floats});
  }
  model.nodes.push_back(node);
  model.outputs.push_back({"y", op.output});
  return Serialize(model);
}

ort::TensorView View(Tensor& tensor) {
  // Not every library takes no memory for no numbers.
  static float nothing;
  void* data = tensor.floats.empty() ? &nothing : tensor.floats.data();
  return {data, tensor.floats.size() * sizeof(float), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, tensor.shape};
}

}  // namespace

int64_t Count(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::string Text(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

Tensor Fuzz::Floats(const Shape& shape, float scale, float offset) {
  Tensor tensor{shape, std::vector<float>(static_cast<size_t>(Count(shape)))};
  for (float& number : tensor.floats) number = offset + Float(scale);
  return tensor;
}

std::vector<int64_t> Fuzz::Ints(size_t count, int64_t first, int64_t last) {
  std::vector<int64_t> numbers(count);
  for (int64_t& number : numbers) number = Int(first, last);
  return numbers;
}

OpSession::OpSession(const Operator& op, const ort::SessionConfig& config)
    : op_(op), session_([&] {
        const std::string model = ModelOf(op);
        return ort::Session(model.data(), model.size(), config);
      }()) {}

Tensor OpSession::Run(const std::vector<Tensor>& inputs, std::optional<Step> step) {
  std::vector<Tensor> given = inputs;
  std::vector<ort::TensorView> views;
  for (Tensor& tensor : given) views.push_back(View(tensor));
  Tensor result{op_.output, std::vector<float>(static_cast<size_t>(Count(op_.output)), std::nanf(""))};
  session_.Run(views, {View(result)}, step);
  return result;
}

std::vector<std::vector<Tensor>> RunOnRanks(const std::vector<Operator>& operators, const SlotBytes& slots,
                                            const std::vector<Step>& steps,
                                            const std::vector<std::vector<Inputs>>& inputs, int threads) {
  const size_t ranks = operators.size();
  const World world(*Transports().front(), static_cast<int>(ranks));
  std::vector<std::vector<Tensor>> results(steps.size(), std::vector<Tensor>(ranks));
  InThreads(static_cast<int>(ranks), [&](int rank) {
    EnterLibrary();
    const auto index = static_cast<size_t>(rank);
    ort::SessionConfig config = Threads(threads);
    config.communicator = world.Connected(world.Options(rank, slots));
    config.rank = rank;
    OpSession session(operators[index], config);
    for (size_t step = 0; step < steps.size(); ++step) {
      results[step][index] = session.Run(inputs[step][index], steps[step]);
      // As the output's gather at the end of a step does.
      config.communicator->barrier();
    }
  });
  return results;
}

void CheckClose(const Tensor& actual, const std::vector<double>& expected, double tolerance,
                const std::string& what) {
  Check(actual.floats.size() == expected.size(), what + " has another size");
  double largest = 1;
  for (const double number : expected) largest = std::max(largest, std::abs(number));
  for (size_t i = 0; i < expected.size(); ++i) {
    const double off = std::abs(actual.floats[i] - expected[i]);
    Check(off <= tolerance * largest, what + " of " + Text(actual.shape) + " is " +
                                          std::to_string(actual.floats[i]) + " at " + std::to_string(i) +
                                          ", not " + std::to_string(expected[i]));
  }
}

void CheckEqual(const Tensor& actual, const std::vector<float>& expected, const std::string& what) {
  Check(actual.floats.size() == expected.size(), what + " has another size");
  for (size_t i = 0; i < expected.size(); ++i) {
    Check(actual.floats[i] == expected[i], what + " of " + Text(actual.shape) + " is " +
                                               std::to_string(actual.floats[i]) + " at " + std::to_string(i) +
                                               ", not " + std::to_string(expected[i]));
  }
}

}  // namespace distri::test
