// Packing weights for a file that programs of many processes map: `packWeights` and what goes with it in
// src/engine/addon.ts.
#pragma once

#include <napi.h>

namespace distri {

void RegisterPacking(Napi::Env env, Napi::Object exports);

}  // namespace distri
