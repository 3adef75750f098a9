#include "comm/napi_transports.h"

#include "comm/transport.h"
#include "napi/arguments.h"
#include "napi/errors.h"

namespace distri {
namespace {

Napi::Value Describe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Transport& transport =
      Translating(env, [&]() -> const Transport& { return FindTransport(ReadString(info[0], "transport")); });
  const Napi::Object description = Napi::Object::New(env);
  description.Set("purpose", transport.purpose);
  const std::string problem = transport.problem();
  if (!problem.empty()) description.Set("problem", problem);
  return description;
}

}  // namespace

void RegisterTransports(Napi::Env env, Napi::Object exports) {
  const Napi::Array names = Napi::Array::New(env);
  for (const Transport* transport : Transports()) names.Set(names.Length(), transport->name);
  exports.Set("transports", names);
  exports.Set("describeTransport", Napi::Function::New<Describe>(env));
}

}  // namespace distri
