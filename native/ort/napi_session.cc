#include "ort/napi_session.h"

#include <utility>

#include "comm/napi_communicator.h"
#include "comm/napi_step.h"
#include "napi/arguments.h"
#include "napi/errors.h"
#include "napi/promise_worker.h"
#include "ort/napi_tensors.h"

namespace distri {
namespace {

// Tells objects that wrap a NapiSession from all others.
constexpr napi_type_tag kSessionTag = {0x41c07f8e5d1b4a96, 0xa3e2d46b90f7158c};

// Node checks the object that a method is called on, but not one whose accessor is called.
void CheckThis(const Napi::CallbackInfo& info) {
  if (info.This().As<Napi::Object>().CheckTypeTag(&kSessionTag)) return;
  throw Napi::TypeError::New(info.Env(), "not a Session");
}

constexpr int64_t kMaxThreads = 1024;

ort::SessionConfig ReadConfig(const Napi::Object& options, std::vector<Napi::Value>& kept) {
  ort::SessionConfig config;
  config.threads = ReadInt(options.Get("threads"), "threads", 1, kMaxThreads);
  config.share_weights = ReadChoice(options.Get("weights"), "weights", {"shared", "private"}) == 0;
  const Napi::Value memory = options.Get("memory");
  if (!memory.IsUndefined()) config.keep_memory = ReadChoice(memory, "memory", {"kept", "freed"}) == 0;
  const Napi::Value rank = options.Get("rank");
  if (!rank.IsUndefined()) config.rank = ReadInt(rank, "rank", 0, kMaxInt);
  const Napi::Value profile = options.Get("profile");
  if (!profile.IsUndefined()) config.profile = ReadString(profile, "profile");
  const Napi::Value initializers = options.Get("initializers");
  if (!initializers.IsUndefined()) {
    BoundInitializers bound = BindInitializers(ReadObject(initializers, "initializers"));
    config.initializers = std::move(bound.views);
    kept = std::move(bound.arrays);
  }
  const Napi::Value communicator = options.Get("communicator");
  if (!communicator.IsUndefined()) {
    config.communicator = UnwrapCommunicator(communicator);
    config.rank = config.communicator->rank();
  }
  return config;
}

Napi::Uint8Array ReadModel(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    ThrowTypeError("a Uint8Array", "model", value);
  }
  return value.As<Napi::Uint8Array>();
}

Napi::Value Names(Napi::Env env, const std::vector<ort::Signature>& signatures) {
  const Napi::Array names = Napi::Array::New(env, signatures.size());
  for (uint32_t i = 0; i < signatures.size(); ++i) names.Set(i, signatures[i].name);
  return names;
}

Napi::Value Create(const Napi::CallbackInfo& info,
                   const std::shared_ptr<Napi::FunctionReference>& constructor) {
  const Napi::Env env = info.Env();
  const Napi::Uint8Array model = ReadModel(info[0]);
  std::vector<Napi::Value> kept;
  const auto config = std::make_shared<ort::SessionConfig>(ReadConfig(ReadObject(info[1], "options"), kept));
  const auto parts = std::make_shared<NapiSession::Parts>();
  parts->initializers = Keep(env, kept);
  const uint8_t* data = model.Data();
  const size_t bytes = model.ByteLength();
  return PromiseWorker::Start(
      env, {model}, [=] { parts->session = std::make_shared<ort::Session>(data, bytes, *config); },
      [=](Napi::Env settling) -> Napi::Value {
        return constructor->New({Napi::External<NapiSession::Parts>::New(settling, parts.get())});
      });
}

}  // namespace

void NapiSession::Register(Napi::Env env, Napi::Object exports) {
  const Napi::Function type = DefineClass(
      env, "Session",
      {InstanceAccessor<&NapiSession::Inputs>("inputs"), InstanceAccessor<&NapiSession::Outputs>("outputs"),
       InstanceMethod<&NapiSession::Run>("run"), InstanceMethod<&NapiSession::Terminate>("terminate"),
       InstanceMethod<&NapiSession::Release>("release")});
  const auto constructor = std::make_shared<Napi::FunctionReference>(Napi::Persistent(type));
  // The reference dies with the environment, after the point where it could still be deleted.
  constructor->SuppressDestruct();
  type.Set("create", Napi::Function::New(env, [constructor](const Napi::CallbackInfo& info) {
             return Rejecting(info.Env(), [&] { return Create(info, constructor); });
           }));
  exports.Set("Session", type);
}

NapiSession::NapiSession(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NapiSession>(info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "Use Session.create");
  parts_ = std::move(*info[0].As<Napi::External<Parts>>().Data());
  info.This().As<Napi::Object>().TypeTag(&kSessionTag);
}

ort::Session& NapiSession::Checked() {
  if (!parts_.session) throw NativeError("ORT", "the session is released");
  return *parts_.session;
}

Napi::Value NapiSession::Inputs(const Napi::CallbackInfo& info) {
  CheckThis(info);
  return Translating(info.Env(), [&] { return Names(info.Env(), Checked().inputs()); });
}

Napi::Value NapiSession::Outputs(const Napi::CallbackInfo& info) {
  CheckThis(info);
  return Translating(info.Env(), [&] { return Names(info.Env(), Checked().outputs()); });
}

Napi::Value NapiSession::Run(const Napi::CallbackInfo& info) {
  return Rejecting(info.Env(), [&]() -> Napi::Value {
    ort::Session& session = Checked();
    CheckIdle();
    const std::optional<Step> step = ReadStep(info[2]);
    if (session.exchanges() && !step) throw NativeError("ORT", "a graph that exchanges needs a step");
    BoundTensors inputs = BindTensors(ReadObject(info[0], "inputs"), session.inputs(), "input");
    BoundTensors outputs = BindTensors(ReadObject(info[1], "outputs"), session.outputs(), "output");
    std::vector<Napi::Value> kept = inputs.arrays;
    kept.insert(kept.end(), outputs.arrays.begin(), outputs.arrays.end());
    kept.push_back(info.This());
    session.Prepare();
    const Napi::Value promise = PromiseWorker::Start(
        info.Env(), kept,
        [&session, in = std::move(inputs.views), out = std::move(outputs.views), step] {
          session.Run(in, out, step);
        },
        [](Napi::Env env) { return env.Undefined(); }, [this] { running_ = false; });
    running_ = true;
    return promise;
  });
}

void NapiSession::Terminate(const Napi::CallbackInfo& info) {
  Translating(info.Env(), [&] {
    if (running_) Checked().Terminate();
  });
}

void NapiSession::Release(const Napi::CallbackInfo& info) {
  Translating(info.Env(), [&] { CheckIdle(); });
  parts_.session.reset();
  parts_.initializers.Reset();
}

void NapiSession::CheckIdle() const {
  if (running_) throw NativeError("ORT", "a run of this session is in progress");
}

}  // namespace distri
