// How the ranks that wait for one rank hear that it has changed something.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "comm/shm/futex.h"

namespace distri::shm {

// One per rank, in shared memory. The values waited for lie elsewhere and need no futex of their own, so they
// can have 64 bits and be mapped read-only.
//
// Why no wake is lost: the owner stores a value and then looks for listeners; a listener registers and then
// looks at the value. All four are sequentially consistent, so at least one sees the other. A listener that
// the owner saw either reads `rings` after the ring, and the value with it, or sleeps on an outdated count,
// which returns at once.
class alignas(64) Doorbell {
 public:
  // While one exists, rings are heard.
  class Listener {
   public:
    explicit Listener(Doorbell& bell) : bell_(bell) { bell_.listeners_.fetch_add(1); }
    ~Listener() { bell_.listeners_.fetch_sub(1); }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    uint32_t rings() const { return bell_.rings_.load(); }
    // Sleeps until there are other rings than `heard`, or for `limit`; may return early.
    void Sleep(uint32_t heard, std::chrono::nanoseconds limit) const {
      FutexWait(bell_.rings_, heard, limit);
    }

   private:
    Doorbell& bell_;
  };

  // Stores a value that listeners look at, and wakes them.
  void Announce(std::atomic<uint64_t>& word, uint64_t value) {
    word.store(value);
    if (listeners_.load() != 0) Ring();
  }

  void Ring() {
    rings_.fetch_add(1);
    FutexWakeAll(rings_);
  }

 private:
  std::atomic<uint32_t> rings_;
  std::atomic<uint32_t> listeners_;
};

}  // namespace distri::shm
