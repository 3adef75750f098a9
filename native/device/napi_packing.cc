#include "device/napi_packing.h"

#include <fcntl.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "device/checksum.h"
#include "device/napi_weights.h"
#include "napi/arguments.h"
#include "napi/errors.h"
#include "napi/promise_worker.h"
#include "ort/native_error.h"

namespace distri {
namespace {

Napi::Value PackingLayout(const Napi::CallbackInfo& info) {
  const device::cpu::PackingLayout layout = device::cpu::LayoutOf(ReadType(info[0], "dtype"));
  auto result = Napi::Object::New(info.Env());
  result.Set("version", Napi::Number::New(info.Env(), layout.version));
  result.Set("lanes", Napi::Number::New(info.Env(), static_cast<double>(layout.lanes)));
  return result;
}

Napi::Value PackedBytes(const Napi::CallbackInfo& info) {
  const size_t bytes = device::cpu::PackedBytes(ReadWeightShape(info[0]));
  return Napi::Number::New(info.Env(), static_cast<double>(bytes));
}

struct Packing {
  WeightMemory memory;
  std::vector<device::PackedSpec> weights;
  std::byte* target = nullptr;
};

// Into `target`, one after the other.
Napi::Value PackWeights(const Napi::CallbackInfo& info) {
  return Rejecting(info.Env(), [&]() -> Napi::Value {
    const auto packing = std::make_shared<Packing>();
    size_t bytes = 0;
    packing->weights =
        ReadArray(info[0], "weights", kAnyLength, [&](const Napi::Value& weight, const std::string& name) {
          return ReadUnpacked(ReadObject(weight, name), name, packing->memory);
        });
    for (const device::PackedSpec& weight : packing->weights) bytes += device::cpu::PackedBytes(weight.shape);
    if (!info[1].IsTypedArray()) ThrowTypeError("a typed array", "target", info[1]);
    const auto target = info[1].As<Napi::TypedArray>();
    if (target.ByteLength() < bytes) ThrowRangeError("room for all weights", "target", info[1]);
    packing->target = const_cast<std::byte*>(Bytes(target));
    const int threads = ReadThreads(info[2]);
    std::vector<Napi::Value> kept = std::exchange(packing->memory.arrays, {});
    kept.push_back(target);
    return PromiseWorker::Start(
        info.Env(), kept,
        [=] {
          device::cpu::Pool pool(threads);
          std::byte* next = packing->target;
          for (const device::PackedSpec& weight : packing->weights) {
            device::Pack(weight, next, pool);
            next += device::cpu::PackedBytes(weight.shape);
          }
        },
        [](Napi::Env env) { return env.Undefined(); });
  });
}

// Of a file from an offset on, in hexadecimal digits.
Napi::Value Checksum(const Napi::CallbackInfo& info) {
  return Rejecting(info.Env(), [&]() -> Napi::Value {
    const std::string path = ReadString(info[0], "file");
    const auto offset = static_cast<size_t>(ReadInteger(info[1], "offset", 0, kMaxSafeInteger));
    const auto bytes = static_cast<size_t>(ReadInteger(info[2], "bytes", 0, kMaxSafeInteger));
    const int threads = ReadThreads(info[3]);
    const auto sum = std::make_shared<uint64_t>(0);
    return PromiseWorker::Start(
        info.Env(), {},
        [=] {
          device::cpu::Pool pool(threads);
          const device::MappedFile file(path);
          *sum = device::Checksum(file.At(offset, bytes), bytes, pool);
        },
        [=](Napi::Env env) -> Napi::Value {
          char text[17];
          std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(*sum));
          return Napi::String::New(env, text);
        });
  });
}

// A byte of a file, until the descriptor is closed or its process ends.
Napi::Value TryLock(const Napi::CallbackInfo& info) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = ReadInteger(info[1], "byte", 0, kMaxSafeInteger);
  lock.l_len = 1;
  const bool locked = fcntl(ReadDescriptor(info[0], "descriptor"), F_OFD_SETLK, &lock) == 0;
  if (!locked && errno != EAGAIN && errno != EACCES) {
    throw Napi::Error::New(info.Env(), std::string("cannot lock: ") + std::strerror(errno));
  }
  return Napi::Boolean::New(info.Env(), locked);
}

}  // namespace

void RegisterPacking(Napi::Env env, Napi::Object exports) {
  exports.Set("packingLayout", Napi::Function::New<PackingLayout>(env));
  exports.Set("packedBytes", Napi::Function::New<PackedBytes>(env));
  exports.Set("packWeights", Napi::Function::New<PackWeights>(env));
  exports.Set("checksum", Napi::Function::New<Checksum>(env));
  exports.Set("tryLock", Napi::Function::New<TryLock>(env));
}

}  // namespace distri
