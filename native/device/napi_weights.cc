#include "device/napi_weights.h"

#include <algorithm>

#include "napi/arguments.h"
#include "ort/native_error.h"

namespace distri {
namespace {

int64_t ReadCount(const Napi::Object& object, const char* name) {
  return ReadInteger(object.Get(name), name, 0, kMaxSafeInteger);
}

// Factors [segments, segments of the weight as it is], or nothing.
std::vector<double> ReadMix(const Napi::Value& value, int64_t segments) {
  constexpr double kMostFactor = 1e6;
  if (value.IsUndefined()) return {};
  std::vector<double> mix =
      ReadArray(value, "mix", kAnyLength, [](const Napi::Value& factor, const std::string& name) {
        return ReadNumber(factor, name, -kMostFactor, kMostFactor);
      });
  if (segments == 0 || mix.empty() || mix.size() % static_cast<size_t>(segments) != 0) {
    ThrowRangeError("factors for every segment", "mix", value);
  }
  return mix;
}

}  // namespace

int ReadThreads(const Napi::Value& value) {
  constexpr int64_t kMost = 1024;
  return ReadInt(value, "threads", 1, kMost);
}

size_t ReadBytes(const Napi::Object& object, const char* name) {
  return static_cast<size_t>(ReadCount(object, name));
}

const std::byte* Bytes(const Napi::TypedArray& array) {
  return static_cast<const std::byte*>(array.ArrayBuffer().Data()) + array.ByteOffset();
}

const device::MappedFile& ReadFile(const Napi::Object& object, WeightMemory& memory) {
  const std::string path = ReadString(object.Get("file"), "file");
  auto found = std::find_if(memory.files.begin(), memory.files.end(),
                            [&](const device::MappedFile& file) { return file.path() == path; });
  return found != memory.files.end() ? *found : memory.files.emplace_back(path);
}

const std::byte* ReadData(const Napi::Object& object, size_t bytes, WeightMemory& memory) {
  const Napi::Value data = object.Get("data");
  if (!data.IsTypedArray()) return ReadFile(object, memory).At(ReadBytes(object, "offset"), bytes);
  const auto array = data.As<Napi::TypedArray>();
  if (array.ByteLength() != bytes) ThrowRangeError("an array of the buffer's size", "data", data);
  memory.arrays.push_back(array);
  return Bytes(array);
}

device::Type ReadType(const Napi::Value& value, const char* name) {
  return static_cast<device::Type>(ReadChoice(value, name, {"float32", "bfloat16", "int64"}));
}

device::cpu::WeightShape ReadWeightShape(const Napi::Value& value) {
  const Napi::Object shape = ReadObject(value, "packed");
  return {ReadCount(shape, "features"), ReadCount(shape, "segments"), ReadCount(shape, "inner"),
          ReadType(shape.Get("dtype"), "dtype"), ReadBoolean(shape.Get("geglu"), "geglu")};
}

device::PackedSpec ReadUnpacked(const Napi::Object& object, const std::string& name, WeightMemory& memory) {
  device::PackedSpec spec;
  spec.shape = ReadWeightShape(object.Get("packed"));
  spec.mix = ReadMix(ReadObject(object.Get("packed"), "packed").Get("mix"), spec.shape.segments);
  const size_t bytes = ReadBytes(object, "bytes");
  // As torch keeps it: [features, inner, segments].
  const auto [features, segments, inner, type, geglu] = spec.shape;
  const int64_t places = spec.mix.empty() ? segments : static_cast<int64_t>(spec.mix.size()) / segments;
  spec.source = {ReadData(object, bytes, memory), ReadType(object.Get("dtype"), "dtype"), inner * places, 1, places};
  const auto elements = static_cast<size_t>(features * inner * places);
  if (elements * device::ItemBytes(spec.source.type) != bytes) {
    throw NativeError("PROGRAM", name + " is not as large as its weight");
  }
  return spec;
}

}  // namespace distri
