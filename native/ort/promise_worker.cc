#include "ort/promise_worker.h"

#include <memory>
#include <utility>

namespace distri {

Napi::Promise PromiseWorker::Start(Napi::Env env, const std::vector<Napi::Value>& kept, Work work,
                                   Result result, Work settled) {
  auto worker =
      std::make_unique<PromiseWorker>(env, kept, std::move(work), std::move(result), std::move(settled));
  const Napi::Promise promise = worker->deferred_.Promise();
  // An AsyncWorker deletes itself when its work is done.
  worker.release()->Queue();
  return promise;
}

PromiseWorker::PromiseWorker(Napi::Env env, const std::vector<Napi::Value>& kept, Work work, Result result,
                             Work settled)
    : Napi::AsyncWorker(env),
      deferred_(Napi::Promise::Deferred::New(env)),
      work_(std::move(work)),
      result_(std::move(result)),
      settled_(std::move(settled)) {
  const Napi::Array values = Napi::Array::New(env, kept.size());
  for (uint32_t i = 0; i < kept.size(); ++i) values.Set(i, kept[i]);
  kept_ = Napi::Persistent<Napi::Object>(values);
}

void PromiseWorker::Execute() {
  try {
    work_();
  } catch (const NativeError& error) {
    code_ = error.code();
    SetError(error.what());
  } catch (const std::exception& error) {
    SetError(error.what());
  }
}

void PromiseWorker::OnOK() {
  if (settled_) settled_();
  deferred_.Resolve(result_(Env()));
}

void PromiseWorker::OnError(const Napi::Error& error) {
  if (settled_) settled_();
  error.Set("code", Napi::String::New(Env(), code_));
  deferred_.Reject(error.Value());
}

Napi::Error ToJavaScript(Napi::Env env, const NativeError& error) {
  Napi::Error result = Napi::Error::New(env, error.what());
  result.Set("code", Napi::String::New(env, error.code()));
  return result;
}

}  // namespace distri
