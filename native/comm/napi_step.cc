#include "comm/napi_step.h"

#include "napi/arguments.h"

namespace distri {

std::optional<Step> ReadStep(const Napi::Value& value) {
  if (value.IsUndefined()) return std::nullopt;
  const Napi::Object object = ReadObject(value, "step");
  const auto number = [&](const char* key) { return ReadInteger(object.Get(key), key, 0, kMaxSafeInteger); };
  Step step;
  step.call = number("call");
  step.tick = number("tick");
  step.read_tick = number("readTick");
  step.publish = ReadBoolean(object.Get("publish"), "publish");
  return step;
}

}  // namespace distri
