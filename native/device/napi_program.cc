#include "device/napi_program.h"

#include <algorithm>
#include <utility>

#include "comm/napi_communicator.h"
#include "comm/napi_step.h"
#include "napi/arguments.h"
#include "napi/errors.h"
#include "napi/promise_worker.h"

namespace distri {
namespace {

using device::BufferSpec;
using device::EncodedCommands;
using device::ProgramSpec;

constexpr int64_t kMaxThreads = 1024;

struct Loading {
  ProgramSpec spec;
  std::vector<Napi::Value> arrays;
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

int64_t ReadCount(const Napi::Object& object, const char* name) {
  return ReadInteger(object.Get(name), name, 0, kMaxSafeInteger);
}

size_t ReadBytes(const Napi::Object& object, const char* name) {
  return static_cast<size_t>(ReadCount(object, name));
}

const std::byte* Bytes(const Napi::TypedArray& array) {
  return static_cast<const std::byte*>(array.ArrayBuffer().Data()) + array.ByteOffset();
}

// Where a weight lies: in a file, or in a typed array.
const std::byte* ReadData(const Napi::Object& object, size_t bytes, Loading& loading,
                          std::vector<device::MappedFile>& files) {
  const Napi::Value data = object.Get("data");
  if (data.IsTypedArray()) {
    const auto array = data.As<Napi::TypedArray>();
    if (array.ByteLength() != bytes) ThrowRangeError("an array of the buffer's size", "data", data);
    loading.arrays.push_back(array);
    return Bytes(array);
  }
  const std::string path = ReadString(object.Get("file"), "file");
  auto found = std::find_if(files.begin(), files.end(),
                            [&](const device::MappedFile& file) { return file.path() == path; });
  if (found != files.end()) return found->At(ReadBytes(object, "offset"), bytes);
  files.emplace_back(path);
  return files.back().At(ReadBytes(object, "offset"), bytes);
}

device::Type ReadType(const Napi::Value& value, const char* name) {
  return static_cast<device::Type>(ReadChoice(value, name, {"float32", "bfloat16", "int64"}));
}

// [segments, segments of the weight as it is], or nothing.
constexpr double kMostFactor = 1e6;
std::vector<double> ReadMix(const Napi::Value& value, int64_t segments) {
  if (value.IsUndefined()) return {};
  std::vector<double> mix = ReadArray(value, "mix", kAnyLength, [](const Napi::Value& factor, const std::string& name) {
    return ReadNumber(factor, name, -kMostFactor, kMostFactor);
  });
  if (segments == 0 || mix.empty() || mix.size() % static_cast<size_t>(segments) != 0) {
    ThrowRangeError("factors for every segment", "mix", value);
  }
  return mix;
}

BufferSpec ReadBuffer(const Napi::Value& value, const std::string& name, Loading& loading,
                      std::vector<device::MappedFile>& files) {
  const Napi::Object object = ReadObject(value, name);
  BufferSpec buffer;
  buffer.kind = static_cast<BufferSpec::Kind>(
      ReadChoice(object.Get("kind"), "kind", {"kept", "weight", "packed", "input", "output"}));
  buffer.bytes = ReadBytes(object, "bytes");
  const bool packed = buffer.kind == BufferSpec::Kind::kPacked;
  if (!packed && buffer.kind != BufferSpec::Kind::kWeight) return buffer;
  buffer.data = ReadData(object, buffer.bytes, loading, files);
  if (!packed) return buffer;
  const Napi::Object shape = ReadObject(object.Get("packed"), "packed");
  buffer.packed.shape = {ReadCount(shape, "features"), ReadCount(shape, "segments"), ReadCount(shape, "inner"),
                         ReadType(shape.Get("dtype"), "dtype"), ReadBoolean(shape.Get("geglu"), "geglu")};
  buffer.packed.mix = ReadMix(shape.Get("mix"), buffer.packed.shape.segments);
  // As torch keeps it: [features, inner, segments].
  const auto [features, segments, inner, type, geglu] = buffer.packed.shape;
  const auto own = static_cast<int64_t>(buffer.packed.mix.size()) / std::max<int64_t>(segments, 1);
  const int64_t places = buffer.packed.mix.empty() ? segments : own;
  buffer.packed.source = {buffer.data, ReadType(object.Get("dtype"), "dtype"), inner * places, 1, places};
  const auto elements = static_cast<size_t>(features * inner * places);
  if (elements * device::ItemBytes(buffer.packed.source.type) != buffer.bytes) {
    throw NativeError("PROGRAM", name + " is not as large as its weight");
  }
  return buffer;
}

std::shared_ptr<Loading> ReadOptions(const Napi::Object& options, std::vector<device::MappedFile>& files) {
  const auto loading = std::make_shared<Loading>();
  ProgramSpec& spec = loading->spec;
  spec.threads = ReadInt(options.Get("threads"), "threads", 1, kMaxThreads);
  spec.arena_bytes = ReadBytes(options, "arenaBytes");
  spec.buffers = ReadArray(options.Get("buffers"), "buffers", kAnyLength,
                           [&](const Napi::Value& value, const std::string& name) {
                             return ReadBuffer(value, name, *loading, files);
                           });
  const Napi::Value communicator = options.Get("communicator");
  if (!communicator.IsUndefined()) spec.communicator = UnwrapCommunicator(communicator);
  spec.prepared = ReadCommands(options.Get("prepared"), "prepared");
  spec.commands = ReadCommands(options.Get("commands"), "commands");
  return loading;
}

Napi::Value Create(const Napi::CallbackInfo& info,
                   const std::shared_ptr<Napi::FunctionReference>& constructor) {
  const Napi::Env env = info.Env();
  const auto parts = std::make_shared<NapiProgram::Parts>();
  const auto loading = ReadOptions(ReadObject(info[0], "options"), parts->files);
  parts->weights = Keep(env, loading->arrays);
  return PromiseWorker::Start(
      env, {}, [=] { parts->program = std::make_shared<device::Program>(loading->spec); },
      [=](Napi::Env settling) -> Napi::Value {
        return constructor->New({Napi::External<NapiProgram::Parts>::New(settling, parts.get())});
      });
}

std::vector<std::byte*> BindArrays(const Napi::Value& value, const device::Program& program,
                                   std::vector<Napi::Value>& kept) {
  const auto arrays = ReadArray(value, "arrays", kAnyLength, [](const Napi::Value& array, const std::string& name) {
    if (!array.IsTypedArray()) ThrowTypeError("a typed array", name, array);
    return array.As<Napi::TypedArray>();
  });
  if (arrays.size() != program.given()) throw NativeError("PROGRAM", "a program is given too few or too many arrays");
  std::vector<std::byte*> data;
  for (size_t index = 0; index < arrays.size(); ++index) {
    if (arrays[index].ByteLength() != program.given_bytes(index)) {
      throw NativeError("PROGRAM", "array " + std::to_string(index) + " of a program has another size");
    }
    kept.push_back(arrays[index]);
    data.push_back(const_cast<std::byte*>(Bytes(arrays[index])));
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
    const std::vector<std::byte*> arrays = BindArrays(info[0], program, kept);
    const bool prepare = ReadBoolean(info[1], "prepare");
    const Step step = ReadStep(info[2]).value_or(Step{});
    kept.push_back(info.This());
    const Napi::Value promise = PromiseWorker::Start(
        info.Env(), kept, [&program, arrays, prepare, step] { program.Run(arrays, prepare, step); },
        [](Napi::Env env) { return env.Undefined(); }, [this] { running_ = false; });
    running_ = true;
    return promise;
  });
}

Napi::Value NapiProgram::Milliseconds(const Napi::CallbackInfo& info) {
  return Translating(info.Env(), [&]() -> Napi::Value {
    const std::vector<int64_t>& nanoseconds = Checked().nanoseconds();
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
