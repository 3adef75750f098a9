// The `Session` of src/engine/addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "ort/session.h"

namespace distri {

class NapiSession : public Napi::ObjectWrap<NapiSession> {
 public:
  static void Register(Napi::Env env, Napi::Object exports);

  // For Register only: takes the session as an External.
  explicit NapiSession(const Napi::CallbackInfo& info);

 private:
  Napi::Value Inputs(const Napi::CallbackInfo& info);
  Napi::Value Outputs(const Napi::CallbackInfo& info);
  Napi::Value Run(const Napi::CallbackInfo& info);
  void Terminate(const Napi::CallbackInfo& info);
  void Release(const Napi::CallbackInfo& info);

  // Both throw NativeError.
  ort::Session& Checked();
  void CheckIdle() const;

  std::shared_ptr<ort::Session> session_;
  bool running_ = false;
};

}  // namespace distri
