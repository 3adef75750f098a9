// Work off the JavaScript thread whose end settles a promise.
#pragma once

#include <napi.h>

#include <functional>
#include <optional>
#include <vector>

#include "ort/native_error.h"

namespace distri {

// Keeps objects from being collected for as long as the result lives.
Napi::ObjectReference Keep(Napi::Env env, const std::vector<Napi::Value>& objects);

// Work that waits for other ranks keeps its thread, of which libuv has few for all that a process does, files
// too: a rank's own work is never more than one wait and one run per channel, and rank processes have threads
// for all of them (rank-process.ts).
class PromiseWorker : public Napi::AsyncWorker {
 public:
  using Work = std::function<void()>;
  using Result = std::function<Napi::Value(Napi::Env)>;

  // `work` runs on a thread of libuv and may throw; `result` then makes the promise's value.
  // `kept` are objects whose memory the work uses. `settled` is called before the promise is settled.
  static Napi::Promise Start(Napi::Env env, const std::vector<Napi::Value>& kept, Work work, Result result,
                             Work settled = nullptr);

  // For Start only.
  PromiseWorker(Napi::Env env, const std::vector<Napi::Value>& kept, Work work, Result result, Work settled);

 private:
  void Execute() override;
  void OnOK() override;
  void OnError(const Napi::Error& error) override;

  Napi::Promise::Deferred deferred_;
  Napi::ObjectReference kept_;
  Work work_;
  Result result_;
  Work settled_;
  std::optional<NativeError> failure_;
};

}  // namespace distri
