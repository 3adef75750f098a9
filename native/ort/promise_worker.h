// Work off the JavaScript thread whose end settles a promise.
#pragma once

#include <napi.h>

#include <functional>
#include <string>
#include <vector>

#include "ort/native_error.h"

namespace distri {

class PromiseWorker : public Napi::AsyncWorker {
 public:
  // `work` runs on a thread of libuv and may throw; `result` then makes the promise's value.
  // `kept` are objects whose memory the work uses. `settled` is called before the promise is settled.
  static Napi::Promise Start(Napi::Env env, std::vector<Napi::Value> kept, std::function<void()> work,
                             std::function<Napi::Value(Napi::Env)> result,
                             std::function<void()> settled = nullptr);

 private:
  PromiseWorker(Napi::Env env, const std::vector<Napi::Value>& kept, std::function<void()> work,
                std::function<Napi::Value(Napi::Env)> result, std::function<void()> settled);

  void Execute() override;
  void OnOK() override;
  void OnError(const Napi::Error& error) override;

  Napi::Promise::Deferred deferred_;
  Napi::ObjectReference kept_;
  std::function<void()> work_;
  std::function<Napi::Value(Napi::Env)> result_;
  std::function<void()> settled_;
  std::string code_ = "ORT";
};

// An Error with a `code`, see NativeError in src/native/addon.ts.
Napi::Error ToJavaScript(Napi::Env env, const NativeError& error);

}  // namespace distri
