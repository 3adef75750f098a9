// What operators know of other ranks. One folder per transport implements it, see transport.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

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

// See SlotSpec in src/engine/addon.ts.
struct SlotSpec {
  // By publishing rank.
  std::vector<uint64_t> bytes;
  // By publishing rank: the other ranks that read what it publishes.
  std::vector<std::vector<int>> readers;
};

class Communicator;

// What a rank published at a tick, in memory that it overwrites two ticks later. Whoever reads has to be done
// with it before its publisher gets there; a build with DISTRI_CHECK_READS looks whether it was when the
// reading ends, and ends the process if not.
class Reading {
 public:
#ifdef DISTRI_CHECK_READS
  Reading(const void* data, const Communicator& communicator, int slot, int peer, int64_t tick)
      : data_(data), communicator_(&communicator), slot_(slot), peer_(peer), tick_(tick) {}
  ~Reading();
  Reading(Reading&& other) noexcept { *this = std::move(other); }
  Reading& operator=(Reading&& other) noexcept {
    data_ = other.data_;
    slot_ = other.slot_;
    peer_ = other.peer_;
    tick_ = other.tick_;
    std::swap(communicator_, other.communicator_);
    return *this;
  }
#else
  Reading(const void* data, const Communicator&, int, int, int64_t) : data_(data) {}
  Reading(Reading&&) = default;
  Reading& operator=(Reading&&) = default;
#endif

  template <class T>
  const T* as() const {
    return static_cast<const T*>(data_);
  }

 private:
  const void* data_;
#ifdef DISTRI_CHECK_READS
  const Communicator* communicator_ = nullptr;
  int slot_;
  int peer_;
  int64_t tick_;
#endif
};

// A slot is a place where every rank of a run can leave one array per tick for its readers. It is kept twice,
// by parity of the tick, so that data of tick t stays readable while its owner computes tick t + 1.
//
// Nothing here keeps a rank from overwriting what a peer still reads. That it does not happen follows from
// what the ranks wait for: before A publishes tick t + 2 in a slot it has waited, directly or by way of
// others, for something that every reader of A's tick t published when it was done with that.
// docs/architecture.md says for each way of spreading a picture why this holds.
//
// Ticks start at 0 and never repeat during the life of a communicator. A tick may be left out.
//
// Threads: one at a time may be in each of connect, barrier and broadcast; the rest may be called from all.
// The destructor leaves the communicator's generation, and frees what readings point to.
class Communicator {
 public:
  virtual ~Communicator() = default;

  int rank() const { return rank_; }
  int size() const { return size_; }
  // Bytes that `rank` publishes in `slot`. Throws CommError(kProtocol) for an unknown slot or rank.
  size_t slot_bytes(int slot, int rank) const;

  // Meets the peers; what follows needs it.
  virtual void connect() = 0;

  // Own buffer of `slot` for `tick`, to be filled by the caller and then made visible by publish(). From
  // buffer() on, tick - 2 is gone. Both throw kProtocol for a tick that does not come after the published
  // ones.
  virtual void* buffer(int slot, int64_t tick) = 0;
  virtual void publish(int slot, int64_t tick) = 0;

  // `bytes` from `offset` on of what `peer` (or this rank itself) published in `slot` at `tick`; waits for
  // it. Throws kTimeout, kAborted, or kProtocol when it was already overwritten or there is not so much of
  // it. In a build with DISTRI_CHECK_READS also when this rank is none of its readers.
  Reading fetch(int slot, int peer, int64_t tick, size_t offset, size_t bytes);
  // All of it.
  Reading fetch(int slot, int peer, int64_t tick) {
    return fetch(slot, peer, tick, 0, slot_bytes(slot, peer));
  }

  // Whether what `peer` published in `slot` at `tick` was not overwritten yet.
  virtual bool holds(int slot, int peer, int64_t tick) const = 0;

  // All ranks call these in the same order, broadcast with the same bytes and root. They don't disturb slots.
  virtual void barrier() = 0;
  virtual void broadcast(void* data, size_t bytes, int root) = 0;

  virtual CommStatistics statistics() const = 0;

 protected:
  Communicator(int rank, int size, std::vector<SlotSpec> slots)
      : rank_(rank), size_(size), slots_(std::move(slots)) {}

  const std::vector<SlotSpec>& slots() const { return slots_; }
  void CheckRank(int rank) const;

  // Waits for what `peer` publishes in `slot` at `tick`, and counts `bytes` of it as fetched.
  virtual const std::byte* find(int slot, int peer, int64_t tick, size_t bytes) = 0;

 private:
  const int rank_;
  const int size_;
  const std::vector<SlotSpec> slots_;
};

// State of the current step, see Step in src/engine/addon.ts.
struct Step {
  int64_t call = 0;
  int64_t tick = 0;
  int64_t read_tick = 0;
  bool publish = true;
};

}  // namespace distri
