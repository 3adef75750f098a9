// The class Communicator of src/engine/addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "comm/communicator.h"

namespace distri {

void RegisterCommunicator(Napi::Env env, Napi::Object exports);

// The communicator inside a JavaScript Communicator; its memory stays mapped until the result is gone, too.
// Throws a TypeError for anything else, and an Error for one that is closed.
std::shared_ptr<Communicator> UnwrapCommunicator(Napi::Value value);

}  // namespace distri
