// How C++ errors become JavaScript's, with their codes. What is translated nowhere, node-addon-api turns into
// an Error all the same (NODE_ADDON_API_CPP_EXCEPTIONS_ALL): no exception reaches `terminate`.
#pragma once

#include <napi.h>

#include "ort/native_error.h"

namespace distri {

// An Error with a `code`, see NativeError in src/engine/addon.ts.
Napi::Error ToJavaScript(Napi::Env env, const NativeError& error);

// The exception that is being handled; for catch clauses.
NativeError CurrentError();

// Runs `function`; what it throws become JavaScript's errors.
template <class Function>
auto Translating(Napi::Env env, const Function& function) {
  try {
    return function();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw ToJavaScript(env, CurrentError());
  }
}

// The same for functions whose result is a promise: what they throw becomes a rejection.
template <class Function>
Napi::Value Rejecting(Napi::Env env, const Function& function) {
  try {
    return Translating(env, function);
  } catch (const Napi::Error& error) {
    const auto deferred = Napi::Promise::Deferred::New(env);
    deferred.Reject(error.Value());
    return deferred.Promise();
  }
}

}  // namespace distri
