// The N-API surface; src/engine/addon.ts is its mirror in types and documents it.
#include <napi.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

#include "comm/napi_communicator.h"
#include "comm/napi_liveness.h"
#include "comm/napi_measure.h"
#include "comm/napi_transports.h"
#include "device/napi_packing.h"
#include "device/napi_program.h"
#include "napi/arguments.h"
#include "ops/levels.h"
#include "ort/library.h"
#include "ort/napi_session.h"

namespace distri {
namespace {

// Node's names of the errors that say which limit was met.
const char* ErrorName(int error) {
  switch (error) {
    case EAGAIN:
      return "EAGAIN";
    case EMFILE:
      return "EMFILE";
    case ENFILE:
      return "ENFILE";
    case ENOMEM:
      return "ENOMEM";
    default:
      return nullptr;
  }
}

[[noreturn]] void ThrowErrno(Napi::Env env, const std::string& what) {
  const int error = errno;
  const Napi::Error thrown = Napi::Error::New(env, what + ": " + std::strerror(error));
  if (const char* name = ErrorName(error)) thrown.Set("code", name);
  throw thrown;
}

Napi::Value LoadOnnxRuntime(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), ort::LoadLibrary(info[0].As<Napi::String>().Utf8Value()));
}

Napi::Value CreateSharedMemory(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>().Utf8Value();
  const int fd = memfd_create(name.c_str(), MFD_CLOEXEC);
  if (fd < 0) ThrowErrno(info.Env(), "cannot create shared memory " + name);
  return Napi::Number::New(info.Env(), fd);
}

void SetAffinity(const Napi::CallbackInfo& info) {
  const auto cpus = info[0].As<Napi::Array>();
  cpu_set_t set;
  CPU_ZERO(&set);
  for (uint32_t i = 0; i < cpus.Length(); ++i) {
    const int64_t cpu = cpus.Get(i).As<Napi::Number>().Int64Value();
    if (cpu < 0 || cpu >= CPU_SETSIZE)
      throw Napi::RangeError::New(info.Env(), "no such CPU: " + std::to_string(cpu));
    CPU_SET(cpu, &set);
  }
  constexpr pid_t kThisThread = 0;
  if (sched_setaffinity(kThisThread, sizeof set, &set) != 0)
    ThrowErrno(info.Env(), "cannot set the CPU affinity");
}

void DieWithParent(const Napi::CallbackInfo& info) {
  const pid_t parent = ReadInt(info[0], "parent", 1, kMaxInt);
  // The kernel means the thread that forked, and sends the signal when that one ends: Node forks on the
  // thread that asks for it. Who starts ranks on a worker thread loses them with it.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) ThrowErrno(info.Env(), "cannot end with the parent process");
  if (getppid() != parent) raise(SIGKILL);
}

void ExitNow(const Napi::CallbackInfo& info) { _exit(info[0].As<Napi::Number>().Int32Value()); }

void RegisterLevels(Napi::Env env, Napi::Object exports) {
  const Napi::Array names = Napi::Array::New(env, ops::kLevelNames.size());
  for (uint32_t index = 0; index < ops::kLevelNames.size(); ++index) names.Set(index, ops::kLevelNames[index]);
  exports.Set("simdLevels", names);
  exports.Set("simdLevel", ops::kLevelNames[static_cast<size_t>(ops::ChosenLevel())]);
}

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("loadOnnxRuntime", Napi::Function::New<LoadOnnxRuntime>(env));
  exports.Set("createSharedMemory", Napi::Function::New<CreateSharedMemory>(env));
  exports.Set("setAffinity", Napi::Function::New<SetAffinity>(env));
  exports.Set("dieWithParent", Napi::Function::New<DieWithParent>(env));
  exports.Set("exitNow", Napi::Function::New<ExitNow>(env));
  RegisterLevels(env, exports);
  RegisterTransports(env, exports);
  RegisterLiveness(env, exports);
  RegisterCommunicator(env, exports);
  RegisterMeasure(env, exports);
  NapiProgram::Register(env, exports);
  RegisterPacking(env, exports);
  NapiSession::Register(env, exports);
  return exports;
}

}  // namespace
}  // namespace distri

static Napi::Object InitializeModule(Napi::Env env, Napi::Object exports) {
  return distri::Initialize(env, exports);
}

NODE_API_MODULE(distri, InitializeModule)
