#include "napi/promise_worker.h"

#include <memory>
#include <utility>

#include "napi/errors.h"

namespace distri {

Napi::ObjectReference Keep(Napi::Env env, const std::vector<Napi::Value>& objects) {
  const Napi::Array array = Napi::Array::New(env, objects.size());
  for (uint32_t i = 0; i < objects.size(); ++i) array.Set(i, objects[i]);
  return Napi::Persistent<Napi::Object>(array);
}

Napi::Promise PromiseWorker::Start(Napi::Env env, const std::vector<Napi::Value>& kept, Work work,
                                   Result result, Work settled) {
  auto worker =
      std::make_unique<PromiseWorker>(env, kept, std::move(work), std::move(result), std::move(settled));
  const Napi::Promise promise = worker->deferred_.Promise();
  worker->Queue();
  // From here on it deletes itself when its work is done.
  worker.release();
  return promise;
}

PromiseWorker::PromiseWorker(Napi::Env env, const std::vector<Napi::Value>& kept, Work work, Result result,
                             Work settled)
    : Napi::AsyncWorker(env),
      deferred_(Napi::Promise::Deferred::New(env)),
      kept_(Keep(env, kept)),
      work_(std::move(work)),
      result_(std::move(result)),
      settled_(std::move(settled)) {}

// Not SetError: it takes an error without a text for success.
void PromiseWorker::Execute() {
  try {
    work_();
  } catch (...) {
    failure_ = CurrentError();
  }
}

void PromiseWorker::OnOK() {
  if (settled_) settled_();
  try {
    if (failure_) throw ToJavaScript(Env(), *failure_);
    deferred_.Resolve(result_(Env()));
  } catch (const Napi::Error& error) {
    deferred_.Reject(error.Value());
  }
}

// When Execute itself failed, for want of memory.
void PromiseWorker::OnError(const Napi::Error& error) {
  if (settled_) settled_();
  deferred_.Reject(error.Value());
}

}  // namespace distri
