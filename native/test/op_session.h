// Operators in sessions of their own: what the tests run and compare.
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "ort/session.h"
#include "test/library.h"
#include "test/onnx_model.h"
#include "test/world.h"

namespace distri::test {

struct Tensor {
  Shape shape;
  std::vector<float> floats;
};

int64_t Count(const Shape& shape);

// Random shapes, sizes and numbers; the same in every run.
class Fuzz {
 public:
  explicit Fuzz(unsigned seed) : engine_(seed) {}

  // From `first` to `last`, both included.
  int64_t Int(int64_t first, int64_t last) {
    return std::uniform_int_distribution<int64_t>(first, last)(engine_);
  }
  bool Coin() { return Int(0, 1) == 1; }
  float Float(float scale = 1) { return std::normal_distribution<float>(0, scale)(engine_); }
  Tensor Floats(const Shape& shape, float scale = 1, float offset = 0);
  // `count` integers from `first` to `last`.
  std::vector<int64_t> Ints(size_t count, int64_t first, int64_t last);

 private:
  std::mt19937 engine_;
};

// One node of domain `distri`.
struct Operator {
  std::string name;
  Attributes attributes;
  std::vector<Shape> inputs;
  Shape output;
  // The last inputs that are weights inside the model, of which Run gets none.
  std::vector<Tensor> weights = {};
};

class OpSession {
 public:
  explicit OpSession(const Operator& op, const ort::SessionConfig& config = {});

  Tensor Run(const std::vector<Tensor>& inputs, std::optional<Step> step = std::nullopt);
  ort::Session& session() { return session_; }

 private:
  Operator op_;
  ort::Session session_;
};

inline ort::SessionConfig Threads(int threads) {
  ort::SessionConfig config;
  config.threads = AtMostThreads(threads);
  return config;
}

// Steps of an image that begins at tick 0.
inline Step Synchronous(int64_t tick) { return {tick, tick, tick, true}; }
inline Step Stale(int64_t tick) { return {tick, tick, tick - 1, true}; }
inline Step Frozen(int64_t tick, int64_t read_tick) { return {tick, tick, read_tick, false}; }

// One rank of a layer that exchanges: its operator, and what it is given and has to give in each step.
using Inputs = std::vector<Tensor>;

// The same layer on all ranks of a world, each a thread: `operators` and, by step, `inputs` in rank order.
// Returns the results by step and rank.
std::vector<std::vector<Tensor>> RunOnRanks(const std::vector<Operator>& operators, const SlotBytes& slots,
                                            const std::vector<Step>& steps,
                                            const std::vector<std::vector<Inputs>>& inputs, int threads = 1);

// Every number within `tolerance` of the expected one, both relative to the largest expected and absolute
// below one.
void CheckClose(const Tensor& actual, const std::vector<double>& expected, double tolerance,
                const std::string& what);
void CheckEqual(const Tensor& actual, const std::vector<float>& expected, const std::string& what);

std::string Text(const Shape& shape);

}  // namespace distri::test
