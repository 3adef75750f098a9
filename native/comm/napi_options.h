// RunOptions and CommunicatorOptions of src/engine/addon.ts.
#pragma once

#include <napi.h>

#include "comm/transport.h"

namespace distri {

// The transport that the options name. Throws a TypeError when there is none of that name.
const Transport& ReadTransport(const Napi::Object& options);

RunOptions ReadRunOptions(const Napi::Object& options);
CommunicatorOptions ReadCommunicatorOptions(const Napi::Object& options);

}  // namespace distri
