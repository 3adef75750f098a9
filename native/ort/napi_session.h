// The `Session` of src/engine/addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "ort/session.h"

namespace distri {

class NapiSession : public Napi::ObjectWrap<NapiSession> {
 public:
  // What is freed by `release`, the session first.
  struct Parts {
    // The typed arrays whose memory the session uses for as long as it lives.
    Napi::ObjectReference initializers;
    std::shared_ptr<ort::Session> session;
  };

  static void Register(Napi::Env env, Napi::Object exports);

  // For Register only: takes the parts out of an External.
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

  Parts parts_;
  bool running_ = false;
};

}  // namespace distri
