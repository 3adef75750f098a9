// Weights as src/engine/addon.ts describes them.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "device/mapped_file.h"
#include "device/program.h"

namespace distri {

// What weights lie in, for as long as they are used.
struct WeightMemory {
  std::vector<Napi::Value> arrays;
  std::vector<device::MappedFile> files;
};

// Of a pool.
int ReadThreads(const Napi::Value& value);
size_t ReadBytes(const Napi::Object& object, const char* name);
const std::byte* Bytes(const Napi::TypedArray& array);

// A file, mapped once.
const device::MappedFile& ReadFile(const Napi::Object& object, WeightMemory& memory);
// `bytes` of a file, or a typed array of this size.
const std::byte* ReadData(const Napi::Object& object, size_t bytes, WeightMemory& memory);

device::Type ReadType(const Napi::Value& value, const char* name);
device::cpu::WeightShape ReadWeightShape(const Napi::Value& value);
// A weight that is to be packed. Throws NativeError where it is of another size.
device::PackedSpec ReadUnpacked(const Napi::Object& object, const std::string& name, WeightMemory& memory);

}  // namespace distri
