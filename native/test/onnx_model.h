// Small ONNX models as bytes: what the tests give to a session.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace distri::test {

using Shape = std::vector<int64_t>;
using Attribute = std::variant<int64_t, float, std::vector<int64_t>>;
using Attributes = std::vector<std::pair<std::string, Attribute>>;

// A float32 tensor; one that is unknown has no numbers.
struct Value {
  std::string name;
  Shape shape;
  std::vector<float> floats = {};
  // Said to be in a file that is not there: the session is given it.
  bool external = false;
};

struct Node {
  std::string op;
  // "distri", or nothing for ONNX's own.
  std::string domain;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  Attributes attributes;
};

struct Model {
  std::vector<Node> nodes;
  std::vector<Value> inputs;
  std::vector<Value> outputs;
  // Kept inside the model.
  std::vector<Value> weights = {};
};

// A serialized ModelProto (onnx.proto3 of the public project onnx/onnx). Nodes are called node_0, node_1, ...
std::string Serialize(const Model& model);

}  // namespace distri::test
