#include "comm/napi_communicator.h"

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "comm/shm/control_block.h"
#include "comm/shm/shm_communicator.h"
#include "napi/errors.h"
#include "napi/promise_worker.h"

namespace distri {
namespace {

using shm::ControlBlock;
using shm::ShmCommunicator;
using shm::ShmOptions;

constexpr int64_t kMaxDescriptor = INT32_MAX;
constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;
// 31 years: fits into nanoseconds.
constexpr double kMaxTimeoutMilliseconds = 1e12;

// "an integer from 0 to 3", as the messages of src/runtime/errors.ts.
std::string Expectation(const std::string& what, const std::string& name, const Napi::Value& actual) {
  const std::string text = actual.IsUndefined() ? "nothing" : actual.ToString().Utf8Value();
  return "Expected " + what + " for " + name + " but received " + text;
}

[[noreturn]] void ThrowTypeError(const std::string& what, const std::string& name,
                                 const Napi::Value& actual) {
  throw Napi::TypeError::New(actual.Env(), Expectation(what, name, actual));
}

[[noreturn]] void ThrowRangeError(const std::string& what, const std::string& name,
                                  const Napi::Value& actual) {
  throw Napi::RangeError::New(actual.Env(), Expectation(what, name, actual));
}

int64_t ReadInteger(const Napi::Value& value, const std::string& name, int64_t min, int64_t max) {
  const std::string what = "an integer from " + std::to_string(min) + " to " + std::to_string(max);
  if (!value.IsNumber()) ThrowTypeError(what, name, value);
  const double number = value.As<Napi::Number>().DoubleValue();
  const bool fits = number >= static_cast<double>(min) && number <= static_cast<double>(max);
  if (!fits || std::trunc(number) != number) ThrowRangeError(what, name, value);
  return static_cast<int64_t>(number);
}

int ReadInt(const Napi::Value& value, const std::string& name, int64_t min, int64_t max) {
  return static_cast<int>(ReadInteger(value, name, min, max));
}

int ReadDescriptor(const Napi::Value& value, const std::string& name) {
  return ReadInt(value, name, 0, kMaxDescriptor);
}

int ReadWorldSize(const Napi::Value& value) {
  return ReadInt(value, "worldSize", 1, ControlBlock::kMaxRanks);
}

std::chrono::nanoseconds ReadTimeout(const Napi::Value& value) {
  const std::string what = "milliseconds above 0 and up to 1e12";
  if (!value.IsNumber()) ThrowTypeError(what, "timeout", value);
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number > 0 && number <= kMaxTimeoutMilliseconds)) ThrowRangeError(what, "timeout", value);
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double, std::milli>(number));
}

// An array of any length, or of one that is given.
constexpr int kAnyLength = -1;

template <class Read>
auto ReadArray(const Napi::Value& value, const std::string& name, int length, const Read& read) {
  const std::string what =
      length == kAnyLength ? "an array" : "an array of " + std::to_string(length) + " (one per rank)";
  if (!value.IsArray()) ThrowTypeError(what, name, value);
  const auto array = value.As<Napi::Array>();
  if (length != kAnyLength && array.Length() != static_cast<uint32_t>(length)) {
    ThrowRangeError(what, name, value);
  }
  std::vector<decltype(read(Napi::Value(), std::string()))> elements;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    elements.push_back(read(array.Get(i), name + "[" + std::to_string(i) + "]"));
  }
  return elements;
}

ShmOptions ReadOptions(const Napi::Value& value) {
  if (!value.IsObject()) ThrowTypeError("an object", "options", value);
  const auto object = value.As<Napi::Object>();
  ShmOptions options;
  const int ranks = options.world_size = ReadWorldSize(object.Get("worldSize"));
  options.rank = ReadInt(object.Get("rank"), "rank", 0, ranks - 1);
  options.control_fd = ReadDescriptor(object.Get("controlFd"), "controlFd");
  options.segment_fds = ReadArray(object.Get("segmentFds"), "segmentFds", ranks, ReadDescriptor);
  const auto read_bytes = [](const Napi::Value& bytes, const std::string& name) {
    return static_cast<uint64_t>(ReadInteger(bytes, name, 0, kMaxSafeInteger));
  };
  options.slot_bytes = ReadArray(object.Get("slotBytes"), "slotBytes", kAnyLength,
                                 [&](const Napi::Value& slot, const std::string& name) {
                                   return ReadArray(slot, name, ranks, read_bytes);
                                 });
  options.timeout = ReadTimeout(object.Get("timeout"));
  options.generation =
      static_cast<uint64_t>(ReadInteger(object.Get("generation"), "generation", 1, kMaxSafeInteger));
  return options;
}

Napi::Error ProtocolError(Napi::Env env, const std::string& message) {
  return ToJavaScript(env, NativeError(ErrorCode(CommErrorCode::kProtocol), message));
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
      : Napi::ObjectWrap<NapiControlBlock>(info), control_(Translating(info.Env(), [&] {
          return ControlBlock(ReadDescriptor(info[0], "fd"), ReadWorldSize(info[1]));
        })) {}

 private:
  void Abort(const Napi::CallbackInfo& info) { control_.Abort(Rank(info, ControlBlock::kParent)); }

  Napi::Value AbortedBy(const Napi::CallbackInfo& info) {
    const auto rank = control_.aborted_by();
    return rank ? Napi::Number::New(info.Env(), *rank) : info.Env().Undefined();
  }

  void Beat(const Napi::CallbackInfo& info) { control_.Beat(Rank(info, 0)); }

  Napi::Value Silence(const Napi::CallbackInfo& info) {
    const auto silence = control_.Silence(Rank(info, 0));
    if (!silence) return info.Env().Undefined();
    return Napi::Number::New(info.Env(), std::chrono::duration<double, std::milli>(*silence).count());
  }

  int Rank(const Napi::CallbackInfo& info, int min) const {
    return ReadInt(info[0], "rank", min, control_.world_size() - 1);
  }

  ControlBlock control_;
};

// Tells objects that wrap a NapiCommunicator from all others.
constexpr napi_type_tag kCommunicatorTag = {0x8d5c1e6fb2a94b07, 0x9f3e5d7a41c8462b};

class NapiCommunicator : public Napi::ObjectWrap<NapiCommunicator> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Communicator",
                       {InstanceMethod<&NapiCommunicator::Connect>("connect"),
                        InstanceMethod<&NapiCommunicator::Barrier>("barrier"),
                        InstanceMethod<&NapiCommunicator::Broadcast>("broadcast"),
                        InstanceMethod<&NapiCommunicator::Publish>("publish"),
                        InstanceMethod<&NapiCommunicator::Fetch>("fetch"),
                        InstanceMethod<&NapiCommunicator::Statistics>("statistics"),
                        InstanceMethod<&NapiCommunicator::Close>("close")});
  }

  explicit NapiCommunicator(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<NapiCommunicator>(info), communicator_(Translating(info.Env(), [&] {
          return std::make_shared<ShmCommunicator>(ReadOptions(info[0]));
        })) {
    info.This().As<Napi::Object>().TypeTag(&kCommunicatorTag);
  }

  std::shared_ptr<ShmCommunicator> Opened(Napi::Env env) const {
    if (!communicator_) throw ProtocolError(env, "the communicator is closed");
    return communicator_;
  }

 private:
  Napi::Value Connect(const Napi::CallbackInfo& info) {
    return Rejecting(info.Env(), [&] {
      return Start(info, {}, [](ShmCommunicator& communicator) { communicator.Connect(); });
    });
  }

  Napi::Value Barrier(const Napi::CallbackInfo& info) {
    return Rejecting(info.Env(), [&] {
      return Start(info, {}, [](ShmCommunicator& communicator) { communicator.barrier(); });
    });
  }

  Napi::Value Broadcast(const Napi::CallbackInfo& info) {
    return Rejecting(info.Env(), [&] {
      if (!info[0].IsTypedArray()) ThrowTypeError("a typed array", "data", info[0]);
      // For its address the type of its elements doesn't matter.
      uint8_t* data = info[0].As<Napi::Uint8Array>().Data();
      const size_t bytes = info[0].As<Napi::TypedArray>().ByteLength();
      const int root = ReadInt(info[1], "root", 0, Opened(info.Env())->size() - 1);
      return Start(info, {info[0]},
                   [=](ShmCommunicator& communicator) { communicator.broadcast(data, bytes, root); });
    });
  }

  // Waits for nobody, so it needs no thread of its own.
  void Publish(const Napi::CallbackInfo& info) {
    const std::shared_ptr<ShmCommunicator> communicator = Opened(info.Env());
    const SlotData slot = ReadSlotData(info, *communicator, 2, communicator->rank());
    const int64_t tick = ReadInteger(info[1], "tick", 0, kMaxSafeInteger);
    Translating(info.Env(), [&] {
      std::memcpy(communicator->buffer(slot.index, tick), slot.data, slot.bytes);
      communicator->publish(slot.index, tick);
    });
  }

  Napi::Value Fetch(const Napi::CallbackInfo& info) {
    return Rejecting(info.Env(), [&] {
      const std::shared_ptr<ShmCommunicator> communicator = Opened(info.Env());
      const int peer = ReadInt(info[1], "peer", 0, communicator->size() - 1);
      const int64_t tick = ReadInteger(info[2], "tick", 0, kMaxSafeInteger);
      const SlotData slot = ReadSlotData(info, *communicator, 3, peer);
      return Start(info, {info[3]}, [=](ShmCommunicator& opened) {
        std::memcpy(slot.data, opened.fetch(slot.index, peer, tick), slot.bytes);
      });
    });
  }

  struct SlotData {
    int index;
    void* data;
    size_t bytes;
  };

  // The slot of the first argument, and the typed array of another one, which must be as long as what `rank`
  // publishes in it.
  static SlotData ReadSlotData(const Napi::CallbackInfo& info, const ShmCommunicator& communicator,
                               size_t argument, int rank) {
    const int slot = ReadInt(info[0], "slot", 0, INT32_MAX);
    if (!info[argument].IsTypedArray()) ThrowTypeError("a typed array", "data", info[argument]);
    const size_t bytes = info[argument].As<Napi::TypedArray>().ByteLength();
    const size_t wanted = Translating(info.Env(), [&] { return communicator.slot_bytes(slot, rank); });
    if (bytes != wanted) {
      throw ProtocolError(info.Env(), "slot " + std::to_string(slot) + " of rank " + std::to_string(rank) +
                                          " has " + std::to_string(wanted) + " bytes, the data " +
                                          std::to_string(bytes));
    }
    return {slot, info[argument].As<Napi::Uint8Array>().Data(), bytes};
  }

  Napi::Value Statistics(const Napi::CallbackInfo& info) {
    const CommStatistics statistics = Opened(info.Env())->statistics();
    const Napi::Object result = Napi::Object::New(info.Env());
    result.Set("bytesPublished", static_cast<double>(statistics.bytes_published));
    result.Set("bytesFetched", static_cast<double>(statistics.bytes_fetched));
    result.Set("waited", static_cast<double>(statistics.nanoseconds_waited) * 1e-6);
    return result;
  }

  // Sessions hold the communicator too: its memory is unmapped when the last of them lets go.
  void Close(const Napi::CallbackInfo& info) {
    CheckIdle(info.Env());
    communicator_.reset();
  }

  // Does `work` off the JavaScript thread. `kept` are objects whose memory it uses.
  template <class Work>
  Napi::Value Start(const Napi::CallbackInfo& info, std::vector<Napi::Value> kept, const Work& work) {
    const std::shared_ptr<ShmCommunicator> communicator = Opened(info.Env());
    CheckIdle(info.Env());
    kept.push_back(info.This());
    const Napi::Value promise = PromiseWorker::Start(
        info.Env(), kept, [=] { work(*communicator); }, [](Napi::Env env) { return env.Undefined(); },
        [this] { busy_ = false; });
    busy_ = true;
    return promise;
  }

  void CheckIdle(Napi::Env env) const {
    if (busy_) throw ProtocolError(env, "the communicator is busy: await what was called before");
  }

  std::shared_ptr<ShmCommunicator> communicator_;
  bool busy_ = false;
};

}  // namespace

void RegisterCommunicator(Napi::Env env, Napi::Object exports) {
  exports.Set("ControlBlock", NapiControlBlock::Define(env));
  exports.Set("Communicator", NapiCommunicator::Define(env));
}

std::shared_ptr<Communicator> UnwrapCommunicator(Napi::Value value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kCommunicatorTag)) {
    ThrowTypeError("a Communicator", "communicator", value);
  }
  return NapiCommunicator::Unwrap(value.As<Napi::Object>())->Opened(value.Env());
}

}  // namespace distri
