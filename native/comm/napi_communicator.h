// The classes ControlBlock and Communicator of src/native/addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "comm/communicator.h"

namespace distri {

void RegisterCommunicator(Napi::Env env, Napi::Object exports);

// The communicator inside a JavaScript Communicator, which may be closed. Throws a JavaScript TypeError for
// anything else.
std::shared_ptr<Communicator> UnwrapCommunicator(Napi::Value value);

}  // namespace distri
