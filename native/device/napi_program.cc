#include "device/napi_program.h"

#include <utility>

#include "comm/napi_communicator.h"
#include "comm/napi_step.h"
#include "device/napi_weights.h"
#include "napi/arguments.h"
#include "napi/errors.h"
#include "napi/promise_worker.h"

namespace distri {
namespace {

using device::BufferSpec;
using device::EncodedCommands;
using device::ProgramSpec;

struct Loading {
  ProgramSpec spec;
  WeightMemory memory;
};

std::vector<std::string> ReadStrings(const Napi::Value& value, const std::string& name) {
  return ReadArray(value, name, kAnyLength, ReadString);
}

EncodedCommands ReadCommands(const Napi::Value& value, const std::string& name) {
  const Napi::Object object = ReadObject(value, name);
  EncodedCommands commands;
  commands.operators = ReadStrings(object.Get("operators"), name + ".operators");
  commands.names = ReadStrings(object.Get("names"), name + ".names");
  const Napi::Value words = object.Get("words");
  if (!words.IsTypedArray() || words.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) {
    ThrowTypeError("a Float64Array", name + ".words", words);
  }
  const auto array = words.As<Napi::Float64Array>();
  commands.words.assign(array.Data(), array.Data() + array.ElementLength());
  return commands;
}

BufferSpec ReadBuffer(const Napi::Value& value, const std::string& name, WeightMemory& memory) {
  const Napi::Object object = ReadObject(value, name);
  BufferSpec buffer;
  buffer.kind = static_cast<BufferSpec::Kind>(
      ReadChoice(object.Get("kind"), "kind", {"kept", "weight", "unpacked", "packed", "input", "output"}));
  buffer.bytes = ReadBytes(object, "bytes");
  switch (buffer.kind) {
    case BufferSpec::Kind::kWeight:
      buffer.data = ReadData(object, buffer.bytes, memory);
      break;
    case BufferSpec::Kind::kUnpacked:
      buffer.unpacked = ReadUnpacked(object, name, memory);
      break;
    case BufferSpec::Kind::kPacked: {
      const size_t bytes = device::cpu::PackedBytes(ReadWeightShape(object.Get("packed")));
      buffer.data = ReadFile(object, memory).At(ReadBytes(object, "offset"), bytes);
      break;
    }
    case BufferSpec::Kind::kKept:
    case BufferSpec::Kind::kInput:
    case BufferSpec::Kind::kOutput:
      break;
  }
  return buffer;
}

std::shared_ptr<Loading> ReadOptions(const Napi::Object& options) {
  const auto loading = std::make_shared<Loading>();
  ProgramSpec& spec = loading->spec;
  spec.threads = ReadThreads(options.Get("threads"));
  spec.arena_bytes = ReadBytes(options, "arenaBytes");
  spec.buffers = ReadArray(options.Get("buffers"), "buffers", kAnyLength,
                           [&](const Napi::Value& value, const std::string& name) {
                             return ReadBuffer(value, name, loading->memory);
                           });
  const Napi::Value communicator = options.Get("communicator");
  if (!communicator.IsUndefined()) spec.communicator = UnwrapCommunicator(communicator);
  spec.lists = ReadArray(options.Get("lists"), "lists", kAnyLength,
                         [](const Napi::Value& value, const std::string& name) {
                           const Napi::Object list = ReadObject(value, name);
                           return device::EncodedList{ReadCommands(list.Get("prepared"), name + ".prepared"),
                                                      ReadCommands(list.Get("commands"), name + ".commands")};
                         });
  return loading;
}

Napi::Value Create(const Napi::CallbackInfo& info,
                   const std::shared_ptr<Napi::FunctionReference>& constructor) {
  const Napi::Env env = info.Env();
  const auto parts = std::make_shared<NapiProgram::Parts>();
  const auto loading = ReadOptions(ReadObject(info[0], "options"));
  parts->weights = Keep(env, loading->memory.arrays);
  parts->files = std::move(loading->memory.files);
  return PromiseWorker::Start(
      env, {}, [=] { parts->program = std::make_shared<device::Program>(loading->spec); },
      [=](Napi::Env settling) -> Napi::Value {
        return constructor->New({Napi::External<NapiProgram::Parts>::New(settling, parts.get())});
      });
}

size_t ReadListIndex(const Napi::Value& value, const device::Program& program) {
  return static_cast<size_t>(ReadInteger(value, "list", 0, static_cast<int64_t>(program.lists()) - 1));
}

std::vector<std::byte*> BindArrays(const Napi::Value& value, const device::Program& program,
                                   std::vector<Napi::Value>& kept) {
  const auto arrays = ReadArray(value, "arrays", kAnyLength, [](const Napi::Value& array, const std::string& name) {
    if (!array.IsTypedArray() && !array.IsUndefined()) ThrowTypeError("a typed array or undefined", name, array);
    return array;
  });
  if (arrays.size() != program.given()) throw NativeError("PROGRAM", "a program is given too few or too many arrays");
  std::vector<std::byte*> data;
  for (size_t index = 0; index < arrays.size(); ++index) {
    if (arrays[index].IsUndefined()) {
      data.push_back(nullptr);
      continue;
    }
    const auto array = arrays[index].As<Napi::TypedArray>();
    if (array.ByteLength() != program.given_bytes(index)) {
      throw NativeError("PROGRAM", "array " + std::to_string(index) + " of a program has another size");
    }
    kept.push_back(array);
    data.push_back(const_cast<std::byte*>(Bytes(array)));
  }
  return data;
}

}  // namespace

void NapiProgram::Register(Napi::Env env, Napi::Object exports) {
  const Napi::Function type = DefineClass(
      env, "Program",
      {InstanceMethod<&NapiProgram::Run>("run"), InstanceMethod<&NapiProgram::Milliseconds>("milliseconds"),
       InstanceMethod<&NapiProgram::Release>("release")});
  const auto constructor = std::make_shared<Napi::FunctionReference>(Napi::Persistent(type));
  // The reference dies with the environment, after the point where it could still be deleted.
  constructor->SuppressDestruct();
  type.Set("create", Napi::Function::New(env, [constructor](const Napi::CallbackInfo& info) {
             return Rejecting(info.Env(), [&] { return Create(info, constructor); });
           }));
  exports.Set("Program", type);
}

NapiProgram::NapiProgram(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NapiProgram>(info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "Use Program.create");
  parts_ = std::move(*info[0].As<Napi::External<Parts>>().Data());
}

device::Program& NapiProgram::Checked() {
  if (!parts_.program) throw NativeError("PROGRAM", "the program is released");
  if (running_) throw NativeError("PROGRAM", "a run of this program is in progress");
  return *parts_.program;
}

Napi::Value NapiProgram::Run(const Napi::CallbackInfo& info) {
  return Rejecting(info.Env(), [&]() -> Napi::Value {
    device::Program& program = Checked();
    std::vector<Napi::Value> kept;
    const size_t list = ReadListIndex(info[0], program);
    const std::vector<std::byte*> arrays = BindArrays(info[1], program, kept);
    const bool prepare = ReadBoolean(info[2], "prepare");
    const Step step = ReadStep(info[3]).value_or(Step{});
    kept.push_back(info.This());
    const Napi::Value promise = PromiseWorker::Start(
        info.Env(), kept, [&program, list, arrays, prepare, step] { program.Run(list, arrays, prepare, step); },
        [](Napi::Env env) { return env.Undefined(); }, [this] { running_ = false; });
    running_ = true;
    return promise;
  });
}

Napi::Value NapiProgram::Milliseconds(const Napi::CallbackInfo& info) {
  return Translating(info.Env(), [&]() -> Napi::Value {
    const device::Program& program = Checked();
    const std::vector<int64_t>& nanoseconds = program.nanoseconds(ReadListIndex(info[0], program));
    auto times = Napi::Float64Array::New(info.Env(), nanoseconds.size());
    double* data = times.Data();
    for (size_t i = 0; i < nanoseconds.size(); ++i) data[i] = static_cast<double>(nanoseconds[i]) / 1e6;
    return times;
  });
}

void NapiProgram::Release(const Napi::CallbackInfo& info) {
  Translating(info.Env(), [&] {
    if (running_) throw NativeError("PROGRAM", "a run of this program is in progress");
  });
  parts_.program.reset();
  parts_.weights.Reset();
  parts_.files.clear();
}

}  // namespace distri
