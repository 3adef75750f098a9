// `measureExchange` of src/engine/addon.ts.
#pragma once

#include <napi.h>

namespace distri {

void RegisterMeasure(Napi::Env env, Napi::Object exports);

}  // namespace distri
