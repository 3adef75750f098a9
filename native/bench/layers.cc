#include "bench/layers.h"

#include <cmath>
#include <random>
#include <stdexcept>

#include "device/cpu/bfloat16.h"

namespace distri::bench {
namespace {

using device::BufferSpec;
using device::Memory;
using device::Type;

// Numbers from -1 to 1 as bfloat16; two of them are a float32 of that size as well.
std::vector<uint16_t> Values(size_t count) {
  std::minstd_rand random(1);
  std::vector<uint16_t> values(count);
  for (uint16_t& value : values)
    value = device::cpu::ToBFloat16(static_cast<float>(random() % 2000) / 1000.0f - 1.0f);
  return values;
}

class Reader {
 public:
  explicit Reader(std::istream& input) : input_(input) {}

  template <class T>
  T Next() {
    T value;
    if (!(input_ >> value)) throw std::invalid_argument("the list of layers ends too early");
    return value;
  }

  int64_t Integer() { return Next<int64_t>(); }

  template <class T>
  std::vector<T> Several() {
    std::vector<T> values(static_cast<size_t>(Integer()));
    for (T& value : values) value = Next<T>();
    return values;
  }

 private:
  std::istream& input_;
};

// A buffer of random numbers, packed as weights of these numbers or as they are. `packed_bytes` becomes those
// of packed weights, or 0.
BufferSpec ReadBuffer(Reader& reader, std::vector<Memory>& memory, device::cpu::Pool& pool,
                      size_t& packed_bytes) {
  BufferSpec buffer;
  buffer.bytes = static_cast<size_t>(reader.Integer());
  const std::vector<int64_t> packed = reader.Several<int64_t>();
  packed_bytes = 0;
  if (packed.empty()) {
    const std::vector<uint16_t> values = Values(buffer.bytes / sizeof(uint16_t));
    buffer.kind = BufferSpec::Kind::kWeight;
    memory.emplace_back(buffer.bytes + device::kSlack);
    std::copy(values.begin(), values.end(), reinterpret_cast<uint16_t*>(memory.back().data()));
  } else {
    device::cpu::WeightShape shape;
    shape.features = packed.at(0);
    shape.segments = packed.at(1);
    shape.inner = packed.at(2);
    shape.type = static_cast<Type>(packed.at(3));
    shape.geglu = packed.at(4) != 0;
    const int64_t terms = shape.segments * shape.inner;
    std::vector<uint16_t> values = Values(static_cast<size_t>(shape.features * terms));
    // Sums of the size that activations are made for: far from it some are denormal, and slow.
    const float scale = 2 / std::sqrt(static_cast<float>(terms));
    for (uint16_t& value : values) value = device::cpu::ToBFloat16(scale * device::cpu::FromBFloat16(value));
    buffer.kind = BufferSpec::Kind::kPacked;
    packed_bytes = device::cpu::PackedBytes(shape);
    memory.emplace_back(packed_bytes);
    device::cpu::PackWeights(
        shape, {reinterpret_cast<const std::byte*>(values.data()), Type::kBFloat16, terms, shape.inner, 1},
        memory.back().data(), pool);
  }
  buffer.data = memory.back().data();
  return buffer;
}

ProductShape ReadShape(Reader& reader) {
  ProductShape shape;
  for (int64_t* number : {&shape.images, &shape.rows, &shape.columns, &shape.inner, &shape.features,
                          &shape.kernel, &shape.stride})
    *number = reader.Integer();
  shape.activation = static_cast<device::cpu::Activation>(reader.Integer());
  shape.residual = reader.Integer() != 0;
  return shape;
}

// A frame without width of an array of 64 images.
device::EncodedList NoWork() {
  device::EncodedList list;
  list.commands.operators = {"ClearFrame"};
  list.commands.names = {"nothing"};
  const std::vector<double> widths{1, 0, 1, 0, 1, 0, 1, 0};
  const std::vector<double> array{1, 0, 0, 4, 64, 1, 1, 1, 1, 1, 1, 1};
  list.commands.words = {0};
  for (const std::vector<double>& part : {widths, array})
    list.commands.words.insert(list.commands.words.end(), part.begin(), part.end());
  return list;
}

}  // namespace

Layers ReadLayers(std::istream& input) {
  Reader reader(input);
  device::cpu::Pool pool(1);
  Layers read;
  const Type type = static_cast<Type>(reader.Integer());
  std::vector<Range> packed;
  for (int64_t left = reader.Integer(); left > 0; --left) {
    size_t packed_bytes = 0;
    read.program.buffers.push_back(ReadBuffer(reader, read.memory, pool, packed_bytes));
    packed.push_back({read.program.buffers.back().data, packed_bytes});
  }
  for (int64_t left = reader.Integer(); left > 0; --left) {
    Layer layer;
    layer.type = type;
    layer.shape = ReadShape(reader);
    for (const int64_t buffer : reader.Several<int64_t>())
      layer.weights.push_back(packed.at(static_cast<size_t>(buffer - 1)));
    device::EncodedList list;
    list.commands.operators = reader.Several<std::string>();
    list.commands.names = reader.Several<std::string>();
    list.commands.words = reader.Several<double>();
    read.program.lists.push_back(std::move(list));
    read.layers.push_back(std::move(layer));
  }
  read.program.lists.push_back(NoWork());
  return read;
}

}  // namespace distri::bench
