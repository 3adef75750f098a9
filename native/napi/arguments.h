// Values from JavaScript, checked. What does not fit throws a TypeError or a RangeError in the words of
// src/base/errors.ts: "Expected an integer from 0 to 3 for rank but received 4".
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

namespace distri {

constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;
constexpr int64_t kMaxInt = INT32_MAX;

[[noreturn]] void ThrowTypeError(const std::string& what, const std::string& name, const Napi::Value& actual);
[[noreturn]] void ThrowRangeError(const std::string& what, const std::string& name,
                                  const Napi::Value& actual);

// From `min` to `max`, both included.
int64_t ReadInteger(const Napi::Value& value, const std::string& name, int64_t min, int64_t max);
// The same for bounds that fit.
int ReadInt(const Napi::Value& value, const std::string& name, int64_t min, int64_t max);
// Above `min` and up to `max`.
double ReadNumber(const Napi::Value& value, const std::string& name, double min, double max);
bool ReadBoolean(const Napi::Value& value, const std::string& name);
std::string ReadString(const Napi::Value& value, const std::string& name);
Napi::Object ReadObject(const Napi::Value& value, const std::string& name);
int ReadDescriptor(const Napi::Value& value, const std::string& name);

// One of `choices`, by its place among them.
size_t ReadChoice(const Napi::Value& value, const std::string& name, const std::vector<std::string>& choices);

// An array of any length, or of one element per rank.
constexpr int kAnyLength = -1;

template <class Read>
auto ReadArray(const Napi::Value& value, const std::string& name, int length, const Read& read) {
  const std::string what =
      length == kAnyLength ? "an array" : "an array of " + std::to_string(length) + " (one per rank)";
  if (!value.IsArray()) ThrowTypeError(what, name, value);
  const auto array = value.As<Napi::Array>();
  if (length != kAnyLength && array.Length() != static_cast<uint32_t>(length)) {
    ThrowRangeError(what, name, value);
  }
  std::vector<decltype(read(Napi::Value(), std::string()))> elements;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    elements.push_back(read(array.Get(i), name + "[" + std::to_string(i) + "]"));
  }
  return elements;
}

}  // namespace distri
