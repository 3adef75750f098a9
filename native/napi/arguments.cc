#include "napi/arguments.h"

#include <cmath>

namespace distri {
namespace {

std::string Expectation(const std::string& what, const std::string& name, const Napi::Value& actual) {
  const std::string text = actual.IsUndefined() ? "nothing" : actual.ToString().Utf8Value();
  return "Expected " + what + " for " + name + " but received " + text;
}

}  // namespace

void ThrowTypeError(const std::string& what, const std::string& name, const Napi::Value& actual) {
  throw Napi::TypeError::New(actual.Env(), Expectation(what, name, actual));
}

void ThrowRangeError(const std::string& what, const std::string& name, const Napi::Value& actual) {
  throw Napi::RangeError::New(actual.Env(), Expectation(what, name, actual));
}

int64_t ReadInteger(const Napi::Value& value, const std::string& name, int64_t min, int64_t max) {
  const std::string what = "an integer from " + std::to_string(min) + " to " + std::to_string(max);
  if (!value.IsNumber()) ThrowTypeError(what, name, value);
  const double number = value.As<Napi::Number>().DoubleValue();
  const bool fits = number >= static_cast<double>(min) && number <= static_cast<double>(max);
  if (!fits || std::trunc(number) != number) ThrowRangeError(what, name, value);
  return static_cast<int64_t>(number);
}

int ReadInt(const Napi::Value& value, const std::string& name, int64_t min, int64_t max) {
  return static_cast<int>(ReadInteger(value, name, min, max));
}

double ReadNumber(const Napi::Value& value, const std::string& name, double min, double max) {
  const std::string what = "a number above " + std::to_string(min) + " and up to " + std::to_string(max);
  if (!value.IsNumber()) ThrowTypeError(what, name, value);
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number > min && number <= max)) ThrowRangeError(what, name, value);
  return number;
}

bool ReadBoolean(const Napi::Value& value, const std::string& name) {
  if (!value.IsBoolean()) ThrowTypeError("true or false", name, value);
  return value.As<Napi::Boolean>().Value();
}

std::string ReadString(const Napi::Value& value, const std::string& name) {
  if (!value.IsString()) ThrowTypeError("a string", name, value);
  return value.As<Napi::String>().Utf8Value();
}

Napi::Object ReadObject(const Napi::Value& value, const std::string& name) {
  if (!value.IsObject()) ThrowTypeError("an object", name, value);
  return value.As<Napi::Object>();
}

int ReadDescriptor(const Napi::Value& value, const std::string& name) {
  return ReadInt(value, name, 0, kMaxInt);
}

size_t ReadChoice(const Napi::Value& value, const std::string& name,
                  const std::vector<std::string>& choices) {
  std::string what;
  for (const std::string& choice : choices) what += (what.empty() ? "" : " or ") + choice;
  if (!value.IsString()) ThrowTypeError(what, name, value);
  const std::string given = value.As<Napi::String>().Utf8Value();
  for (size_t i = 0; i < choices.size(); ++i) {
    if (choices[i] == given) return i;
  }
  // As Node's own for arguments of the right type that mean nothing.
  ThrowTypeError(what, name, value);
}

}  // namespace distri
