// `transports` and `describeTransport` of src/engine/addon.ts.
#pragma once

#include <napi.h>

namespace distri {

void RegisterTransports(Napi::Env env, Napi::Object exports);

}  // namespace distri
