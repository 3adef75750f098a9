#include "test/onnx_model.h"

#include <cstring>

namespace distri::test {
namespace {

constexpr int64_t kFloat = 1;
constexpr int64_t kIrVersion = 9;
constexpr int64_t kOnnxOperators = 20;

// One message of protobuf's wire format.
class Message {
 public:
  Message& Int(int field, int64_t value) {
    Key(field, kVarint);
    Varint(static_cast<uint64_t>(value));
    return *this;
  }

  Message& Float(int field, float value) {
    Key(field, kFixed32);
    Raw(&value, sizeof value);
    return *this;
  }

  Message& Bytes(int field, const void* data, size_t size) {
    Key(field, kLengthDelimited);
    Varint(size);
    Raw(data, size);
    return *this;
  }

  Message& Text(int field, const std::string& text) { return Bytes(field, text.data(), text.size()); }
  Message& Nested(int field, const Message& message) { return Text(field, message.bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  enum WireType { kVarint = 0, kLengthDelimited = 2, kFixed32 = 5 };

  void Key(int field, WireType type) { Varint(static_cast<uint64_t>(field) << 3 | type); }

  void Varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>(value | 0x80));
    bytes_.push_back(static_cast<char>(value));
  }

  void Raw(const void* data, size_t size) {
    if (size > 0) bytes_.append(static_cast<const char*>(data), size);
  }

  std::string bytes_;
};

Message AttributeProto(const std::string& name, const Attribute& attribute) {
  constexpr int64_t kTypes[] = {2 /* INT */, 1 /* FLOAT */, 7 /* INTS */};
  Message message;
  message.Text(1, name).Int(20, kTypes[attribute.index()]);
  if (const auto* number = std::get_if<int64_t>(&attribute)) message.Int(3, *number);
  if (const auto* number = std::get_if<float>(&attribute)) message.Float(2, *number);
  if (const auto* numbers = std::get_if<std::vector<int64_t>>(&attribute)) {
    for (const int64_t number : *numbers) message.Int(8, number);
  }
  return message;
}

Message NodeProto(const Node& node, const std::string& name) {
  Message message;
  for (const std::string& input : node.inputs) message.Text(1, input);
  for (const std::string& output : node.outputs) message.Text(2, output);
  message.Text(3, name).Text(4, node.op).Text(7, node.domain);
  for (const auto& [key, attribute] : node.attributes) message.Nested(5, AttributeProto(key, attribute));
  return message;
}

Message ValueInfoProto(const Value& value) {
  Message shape;
  for (const int64_t size : value.shape) shape.Nested(1, Message().Int(1, size));
  const Message tensor = Message().Int(1, kFloat).Nested(2, shape);
  return Message().Text(1, value.name).Nested(2, Message().Nested(1, tensor));
}

Message TensorProto(const Value& value) {
  Message message;
  for (const int64_t size : value.shape) message.Int(1, size);
  message.Int(2, kFloat).Text(8, value.name);
  if (value.external) {
    const auto entry = [](const std::string& key, const std::string& text) {
      return Message().Text(1, key).Text(2, text);
    };
    message.Nested(13, entry("location", "nowhere")).Int(14, 1);
  } else {
    message.Bytes(9, value.floats.data(), value.floats.size() * sizeof(float));
  }
  return message;
}

Message OperatorSet(const std::string& domain, int64_t version) {
  return Message().Text(1, domain).Int(2, version);
}

}  // namespace

std::string Serialize(const Model& model) {
  Message graph;
  for (size_t i = 0; i < model.nodes.size(); ++i) {
    graph.Nested(1, NodeProto(model.nodes[i], "node_" + std::to_string(i)));
  }
  graph.Text(2, "test");
  for (const Value& weight : model.weights) graph.Nested(5, TensorProto(weight));
  for (const Value& input : model.inputs) graph.Nested(11, ValueInfoProto(input));
  for (const Value& output : model.outputs) graph.Nested(12, ValueInfoProto(output));
  Message message;
  message.Int(1, kIrVersion).Nested(7, graph);
  message.Nested(8, OperatorSet("", kOnnxOperators)).Nested(8, OperatorSet("distri", 1));
  return message.bytes();
}

}  // namespace distri::test
