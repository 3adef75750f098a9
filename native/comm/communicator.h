// What operators know of other ranks. One folder per transport implements it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace distri {

enum class CommErrorCode { kTimeout, kAborted, kProtocol };

// Thrown by every waiting or checking call. The message names the peer and the time waited;
// whoever calls adds rank, step, layer and operation.
class CommError : public std::runtime_error {
 public:
  CommError(CommErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  CommErrorCode code() const { return code_; }

 private:
  CommErrorCode code_;
};

struct CommStatistics {
  uint64_t bytes_published = 0;
  uint64_t bytes_fetched = 0;
  uint64_t nanoseconds_waited = 0;
};

// A slot is a place where every rank of a run can leave one array per tick for the others to read. It is kept
// twice, by parity of the tick, so that data of tick t stays readable while its owner computes tick t + 1.
// That is safe as long as no rank starts tick t + 2 before all have finished reading tick t; the gather of
// the output that ends every step ensures it.
//
// Ticks start at 0 and never repeat during the life of a communicator. A tick may be left out.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Bytes that `rank` publishes in `slot`. Throws CommError(kProtocol) for an unknown slot or rank.
  virtual size_t slot_bytes(int slot, int rank) const = 0;

  // Own buffer of `slot` for `tick`, to be filled by the caller and then made visible by publish(). From
  // buffer() on, tick - 2 is gone. Both throw kProtocol for a tick that does not come after the published
  // ones.
  virtual void* buffer(int slot, int64_t tick) = 0;
  virtual void publish(int slot, int64_t tick) = 0;

  // What `peer` (or this rank itself) published in `slot` at `tick`, of which `read` bytes are looked at.
  // Waits for it; the pointer stays valid until the end of the step. Throws kTimeout, kAborted, or kProtocol
  // when the data was already overwritten.
  virtual const void* fetch(int slot, int peer, int64_t tick, size_t read) = 0;
  // All of it.
  const void* fetch(int slot, int peer, int64_t tick) {
    return fetch(slot, peer, tick, slot_bytes(slot, peer));
  }

  // All ranks call these in the same order, broadcast with the same bytes and root. They don't disturb slots.
  virtual void barrier() = 0;
  virtual void broadcast(void* data, size_t bytes, int root) = 0;

  virtual CommStatistics statistics() const = 0;
};

// State of the current step, see Step in src/engine/addon.ts.
struct Step {
  int64_t call = 0;
  int64_t tick = 0;
  int64_t read_tick = 0;
  bool publish = true;
};

}  // namespace distri
