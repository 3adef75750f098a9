#include "device/cpu/exchange.h"

#include <stdexcept>
#include <string>
#include <utility>

#include "device/cpu/elementwise.h"

namespace distri::device::cpu {
namespace {

class Exchanging : public Executor {
 public:
  Exchanging(Command command, size_t age)
      : command_(std::move(command)),
        slot_(static_cast<int>(command_.Integer(0))),
        age_(static_cast<Age>(command_.Integer(age))) {}

  void Run(const Call& call) override {
    if (call.communicator == nullptr) throw std::runtime_error(command_.name() + " exchanges, but the program can't");
    if (age_ == Age::kWarmUp && call.step.read_tick != call.step.tick) return;
    try {
      Exchange(call);
    } catch (const CommError& error) {
      throw CommError(error.code(), command_.name() + ": " + error.what());
    }
  }

 protected:
  virtual void Exchange(const Call& call) = 0;

  bool Publishes(const Step& step) const { return age_ == Age::kFresh || step.publish; }
  int64_t ReadTick(const Step& step) const { return age_ == Age::kFresh ? step.tick : step.read_tick; }
  const Command& command() const { return command_; }
  int slot() const { return slot_; }

 private:
  Command command_;
  int slot_;
  Age age_;
};

// The same elements one behind the other.
Strided Dense(const Strided& array, std::byte* data) {
  Strided dense = array;
  dense.data = data;
  int64_t stride = 1;
  for (int axis = array.rank - 1; axis >= 0; --axis) {
    dense.strides[static_cast<size_t>(axis)] = stride;
    stride *= array.shape[static_cast<size_t>(axis)];
  }
  return dense;
}

size_t BytesOf(const Strided& array) {
  size_t bytes = ItemBytes(array.type);
  for (int axis = 0; axis < array.rank; ++axis) bytes *= static_cast<size_t>(array.shape[static_cast<size_t>(axis)]);
  return bytes;
}

class Leave : public Exchanging {
 public:
  explicit Leave(Command command) : Exchanging(std::move(command), 2) {}

 protected:
  void Exchange(const Call& call) override {
    if (!Publishes(call.step)) return;
    const Strided x = command().At(0, call.bases);
    const auto offset = static_cast<size_t>(command().Integer(1));
    if (offset + BytesOf(x) > call.communicator->slot_bytes(slot(), call.communicator->rank())) {
      throw CommError(CommErrorCode::kProtocol, "what is left is larger than slot " + std::to_string(slot()));
    }
    auto* buffer = static_cast<std::byte*>(call.communicator->buffer(slot(), call.step.tick));
    Copy(x, Dense(x, buffer + offset), call.pool);
  }
};

class Publish : public Exchanging {
 public:
  explicit Publish(Command command) : Exchanging(std::move(command), 1) {}

 protected:
  void Exchange(const Call& call) override {
    if (Publishes(call.step)) call.communicator->publish(slot(), call.step.tick);
  }
};

class Fetch : public Exchanging {
 public:
  explicit Fetch(Command command) : Exchanging(std::move(command), 3) {}

 protected:
  void Exchange(const Call& call) override {
    const Strided y = command().At(0, call.bases);
    const auto offset = static_cast<size_t>(command().Integer(2));
    const int peer = static_cast<int>(command().Integer(1));
    const Reading reading = call.communicator->fetch(slot(), peer, ReadTick(call.step), offset, BytesOf(y));
    Copy(Dense(y, const_cast<std::byte*>(reading.as<std::byte>())), y, call.pool);
  }
};

}  // namespace

std::unique_ptr<Executor> CreateLeave(Command command) { return std::make_unique<Leave>(std::move(command)); }

std::unique_ptr<Executor> CreatePublish(Command command) { return std::make_unique<Publish>(std::move(command)); }

std::unique_ptr<Executor> CreateFetch(Command command) { return std::make_unique<Fetch>(std::move(command)); }

}  // namespace distri::device::cpu
