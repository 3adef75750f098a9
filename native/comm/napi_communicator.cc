#include "comm/napi_communicator.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "comm/napi_options.h"
#include "napi/arguments.h"
#include "napi/errors.h"
#include "napi/promise_worker.h"

namespace distri {
namespace {

Napi::Error ProtocolError(Napi::Env env, const std::string& message) {
  return ToJavaScript(env, NativeError(ErrorCode(CommErrorCode::kProtocol), message));
}

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
          const Napi::Object options = ReadObject(info[0], "options");
          return std::shared_ptr<Communicator>(ReadTransport(options).make(ReadCommunicatorOptions(options)));
        })) {
    info.This().As<Napi::Object>().TypeTag(&kCommunicatorTag);
  }

  std::shared_ptr<Communicator> Opened(Napi::Env env) const {
    if (!communicator_) throw ProtocolError(env, "the communicator is closed");
    return communicator_;
  }

 private:
  Napi::Value Connect(const Napi::CallbackInfo& info) {
    return Rejecting(info.Env(), [&] {
      return Start(info, {}, [](Communicator& communicator) { communicator.connect(); });
    });
  }

  Napi::Value Barrier(const Napi::CallbackInfo& info) {
    return Rejecting(info.Env(), [&] {
      return Start(info, {}, [](Communicator& communicator) { communicator.barrier(); });
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
                   [=](Communicator& communicator) { communicator.broadcast(data, bytes, root); });
    });
  }

  // Waits for nobody, so it needs no thread of its own.
  void Publish(const Napi::CallbackInfo& info) {
    const std::shared_ptr<Communicator> communicator = Opened(info.Env());
    const SlotData slot = ReadSlotData(info, *communicator, 2, communicator->rank());
    const int64_t tick = ReadInteger(info[1], "tick", 0, kMaxSafeInteger);
    Translating(info.Env(), [&] {
      std::memcpy(communicator->buffer(slot.index, tick), slot.data, slot.bytes);
      communicator->publish(slot.index, tick);
    });
  }

  Napi::Value Fetch(const Napi::CallbackInfo& info) {
    return Rejecting(info.Env(), [&] {
      const std::shared_ptr<Communicator> communicator = Opened(info.Env());
      const int peer = ReadInt(info[1], "peer", 0, communicator->size() - 1);
      const int64_t tick = ReadInteger(info[2], "tick", 0, kMaxSafeInteger);
      const SlotData slot = ReadSlotData(info, *communicator, 3, peer);
      return Start(info, {info[3]}, [=](Communicator& opened) {
        const Reading reading = opened.fetch(slot.index, peer, tick);
        std::memcpy(slot.data, reading.as<std::byte>(), slot.bytes);
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
  static SlotData ReadSlotData(const Napi::CallbackInfo& info, const Communicator& communicator,
                               size_t argument, int rank) {
    const int slot = ReadInt(info[0], "slot", 0, kMaxInt);
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
    const std::shared_ptr<Communicator> communicator = Opened(info.Env());
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

  std::shared_ptr<Communicator> communicator_;
  bool busy_ = false;
};

}  // namespace

void RegisterCommunicator(Napi::Env env, Napi::Object exports) {
  exports.Set("Communicator", NapiCommunicator::Define(env));
}

std::shared_ptr<Communicator> UnwrapCommunicator(Napi::Value value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kCommunicatorTag)) {
    ThrowTypeError("a Communicator", "communicator", value);
  }
  return NapiCommunicator::Unwrap(value.As<Napi::Object>())->Opened(value.Env());
}

}  // namespace distri
