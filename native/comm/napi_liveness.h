// The class Liveness of src/engine/addon.ts.
#pragma once

#include <napi.h>

namespace distri {

void RegisterLiveness(Napi::Env env, Napi::Object exports);

}  // namespace distri
