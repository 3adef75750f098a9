#include "comm/napi_communicator.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "comm/shm/control_block.h"
#include "comm/shm/shm_communicator.h"
#include "ort/native_error.h"
#include "ort/promise_worker.h"

namespace distri {
namespace {

// Runs native code and turns its errors into JavaScript's.
template <class Function>
auto Guarded(Napi::Env env, Function function) {
  try {
    return function();
  } catch (const CommError& error) {
    throw ToJavaScript(env, NativeError(ErrorCode(error.code()), error.what()));
  }
}

int64_t Integer(const Napi::Value& value, const char* name) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (std::floor(number) != number || std::abs(number) > 9e15)
    throw Napi::TypeError::New(value.Env(), std::string("Expected an integer for ") + name);
  return static_cast<int64_t>(number);
}

size_t Size(const Napi::Value& value, const char* name) {
  const int64_t number = Integer(value, name);
  if (number < 0) throw Napi::RangeError::New(value.Env(), std::string(name) + " is negative");
  return static_cast<size_t>(number);
}

int SmallInteger(const Napi::Value& value, const char* name) {
  return static_cast<int>(Integer(value, name));
}

template <class Element, class Convert>
std::vector<Element> List(const Napi::Value& value, const char* name, Convert convert) {
  if (!value.IsArray()) throw Napi::TypeError::New(value.Env(), std::string("Expected an array for ") + name);
  const auto array = value.As<Napi::Array>();
  std::vector<Element> elements;
  elements.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) elements.push_back(convert(array.Get(i)));
  return elements;
}

int WorldSize(const Napi::Value& value) {
  const int size = SmallInteger(value, "worldSize");
  if (size < 1) throw Napi::RangeError::New(value.Env(), "worldSize must be at least 1");
  return size;
}

shm::ShmOptions ReadOptions(const Napi::Value& value) {
  if (!value.IsObject()) throw Napi::TypeError::New(value.Env(), "Expected an object of options");
  const auto object = value.As<Napi::Object>();
  shm::ShmOptions options;
  options.rank = SmallInteger(object.Get("rank"), "rank");
  options.world_size = WorldSize(object.Get("worldSize"));
  options.control_fd = SmallInteger(object.Get("controlFd"), "controlFd");
  options.segment_fds = List<int>(object.Get("segmentFds"), "segmentFds", [](const Napi::Value& fd) {
    return SmallInteger(fd, "segmentFds");
  });
  options.slot_bytes =
      List<std::vector<size_t>>(object.Get("slotBytes"), "slotBytes", [](const Napi::Value& slot) {
        return List<size_t>(slot, "slotBytes", [](const Napi::Value& bytes) { return Size(bytes, "slotBytes"); });
      });
  options.timeout_ms = Integer(object.Get("timeout"), "timeout");
  options.generation = static_cast<uint32_t>(Size(object.Get("generation"), "generation"));
  return options;
}

class NapiControlBlock : public Napi::ObjectWrap<NapiControlBlock> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "ControlBlock",
                       {InstanceMethod<&NapiControlBlock::Abort>("abort"),
                        InstanceMethod<&NapiControlBlock::AbortedBy>("abortedBy"),
                        InstanceMethod<&NapiControlBlock::Beat>("beat"),
                        InstanceMethod<&NapiControlBlock::Silence>("silence")});
  }

  explicit NapiControlBlock(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<NapiControlBlock>(info), block_(Guarded(info.Env(), [&] {
          return shm::ControlBlock(SmallInteger(info[0], "fd"), WorldSize(info[1]));
        })) {}

 private:
  void Abort(const Napi::CallbackInfo& info) { block_.Abort(SmallInteger(info[0], "rank")); }

  Napi::Value AbortedBy(const Napi::CallbackInfo& info) {
    const auto rank = block_.aborted_by();
    return rank ? Napi::Number::New(info.Env(), *rank) : info.Env().Undefined();
  }

  void Beat(const Napi::CallbackInfo& info) {
    Guarded(info.Env(), [&] { block_.Beat(SmallInteger(info[0], "rank")); });
  }

  Napi::Value Silence(const Napi::CallbackInfo& info) {
    const auto silence = Guarded(info.Env(), [&] { return block_.Silence(SmallInteger(info[0], "rank")); });
    return silence ? Napi::Number::New(info.Env(), *silence) : info.Env().Undefined();
  }

  shm::ControlBlock block_;
};

class NapiCommunicator : public Napi::ObjectWrap<NapiCommunicator> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Communicator",
                       {InstanceMethod<&NapiCommunicator::Connect>("connect"),
                        InstanceMethod<&NapiCommunicator::Barrier>("barrier"),
                        InstanceMethod<&NapiCommunicator::Broadcast>("broadcast"),
                        InstanceMethod<&NapiCommunicator::Statistics>("statistics"),
                        InstanceMethod<&NapiCommunicator::Close>("close")});
  }

  explicit NapiCommunicator(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<NapiCommunicator>(info), communicator_(Guarded(info.Env(), [&] {
          return std::make_shared<shm::ShmCommunicator>(ReadOptions(info[0]));
        })) {}

  std::shared_ptr<Communicator> communicator() const { return communicator_; }

 private:
  // Waiting happens off the JavaScript thread; the promise resolves to undefined.
  static Napi::Value Promised(Napi::Env env, const std::vector<Napi::Value>& kept, PromiseWorker::Work work) {
    const auto guarded = [work = std::move(work)] {
      try {
        work();
      } catch (const CommError& error) {
        throw NativeError(ErrorCode(error.code()), error.what());
      }
    };
    return PromiseWorker::Start(env, kept, guarded, [](Napi::Env e) { return e.Undefined(); });
  }

  Napi::Value Connect(const Napi::CallbackInfo& info) {
    return Promised(info.Env(), {}, [c = communicator_] { c->Connect(); });
  }

  Napi::Value Barrier(const Napi::CallbackInfo& info) {
    return Promised(info.Env(), {}, [c = communicator_] { c->barrier(); });
  }

  Napi::Value Broadcast(const Napi::CallbackInfo& info) {
    if (!info[0].IsTypedArray()) throw Napi::TypeError::New(info.Env(), "Expected a typed array for data");
    const auto array = info[0].As<Napi::TypedArray>();
    char* data = static_cast<char*>(array.ArrayBuffer().Data()) + array.ByteOffset();
    const int root = SmallInteger(info[1], "root");
    return Promised(info.Env(), {info[0]}, [c = communicator_, data, bytes = array.ByteLength(), root] {
      c->broadcast(data, bytes, root);
    });
  }

  Napi::Value Statistics(const Napi::CallbackInfo& info) {
    const CommStatistics statistics = communicator_->statistics();
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("bytesPublished", static_cast<double>(statistics.bytes_published));
    result.Set("bytesFetched", static_cast<double>(statistics.bytes_fetched));
    result.Set("waited", static_cast<double>(statistics.nanoseconds_waited) * 1e-6);
    return result;
  }

  void Close(const Napi::CallbackInfo&) { communicator_->Close(); }

  std::shared_ptr<shm::ShmCommunicator> communicator_;
};

// The constructor of this environment's Communicator, to recognise its objects.
Napi::FunctionReference& CommunicatorClass(Napi::Env env) { return *env.GetInstanceData<Napi::FunctionReference>(); }

}  // namespace

void RegisterCommunicator(Napi::Env env, Napi::Object exports) {
  exports.Set("ControlBlock", NapiControlBlock::Define(env));
  const Napi::Function communicator = NapiCommunicator::Define(env);
  // Freed with the environment.
  env.SetInstanceData(std::make_unique<Napi::FunctionReference>(Napi::Persistent(communicator)).release());
  exports.Set("Communicator", communicator);
}

std::shared_ptr<Communicator> UnwrapCommunicator(Napi::Value value) {
  if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(CommunicatorClass(value.Env()).Value()))
    throw Napi::TypeError::New(value.Env(), "Expected a Communicator for communicator");
  return NapiCommunicator::Unwrap(value.As<Napi::Object>())->communicator();
}

}  // namespace distri
