// The `Step` of src/engine/addon.ts.
#pragma once

#include <napi.h>

#include <optional>

#include "comm/communicator.h"

namespace distri {

// Empty for undefined.
std::optional<Step> ReadStep(const Napi::Value& value);

}  // namespace distri
