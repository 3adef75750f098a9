// The only place where a rank waits for another one.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "comm/shm/clock.h"
#include "comm/shm/control_block.h"

namespace distri::shm {

// Says to the processor that this is a loop which waits.
inline void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// When a wait for a peer is given up.
struct Patience {
  // The peer showed no life for so long.
  std::chrono::nanoseconds silence;
  // It was alive, but the wait went on for so long: ranks wait for each other in a circle, or for one that
  // works on and on. Far longer than anything that a rank does, because a rank that is alive but slow must
  // not end a run.
  std::chrono::nanoseconds deadlock;

  static Patience For(std::chrono::nanoseconds timeout) {
    return {timeout, std::max<std::chrono::nanoseconds>(10 * timeout, std::chrono::minutes(10))};
  }
};

// Waits for as long as the peer is alive, with an eye on the abort word. Safe to use from all threads.
class PeerWaiter {
 public:
  PeerWaiter(const Channel& channel, const Patience& patience) : channel_(channel), patience_(patience) {}

  // Looks that a wait takes before it sleeps: about as long as putting a thread to sleep and waking it.
  void set_spins(int spins) { spins_.store(spins, std::memory_order_relaxed); }

  uint64_t nanoseconds_waited() const { return waited_.load(std::memory_order_relaxed); }

  // Returns as soon as `ready()`, which looks at something that `peer` announces with its doorbell.
  // Throws CommError(kAborted) or CommError(kTimeout).
  template <class Ready>
  void Wait(int peer, const Ready& ready) {
    if (ready()) return;
    const Stopwatch stopwatch(waited_);
    if (!Spin(ready)) Sleep(peer, ready);
  }

 private:
  // Longest sleep: bounds how late an abort is noticed whose author died before it could wake anybody.
  static constexpr std::chrono::milliseconds kSlice{50};

  // Adds its lifetime to a total.
  class Stopwatch {
   public:
    explicit Stopwatch(std::atomic<uint64_t>& total) : total_(total) {}
    ~Stopwatch() { total_.fetch_add(MonotonicNanoseconds() - start_, std::memory_order_relaxed); }

   private:
    std::atomic<uint64_t>& total_;
    uint64_t start_ = MonotonicNanoseconds();
  };

  // What is left of the time of one wait: all of it again with every sign of life.
  class Deadline {
   public:
    Deadline(const ControlBlock& control, int peer, const Patience& patience)
        : control_(control), peer_(peer), patience_(patience), beat_(control.last_beat(peer)) {}

    std::chrono::nanoseconds left() const;
    void Spend(std::chrono::nanoseconds time);
    // Throws CommError(kTimeout).
    void ThrowIfOver() const;

   private:
    const ControlBlock& control_;
    const int peer_;
    const Patience& patience_;
    uint64_t beat_;
    std::chrono::nanoseconds waited_{};
    std::chrono::nanoseconds silent_{};
  };

  template <class Ready>
  bool Spin(const Ready& ready) const {
    for (int i = spins_.load(std::memory_order_relaxed); i > 0; --i) {
      Pause();
      if (ready()) return true;
    }
    return false;
  }

  template <class Ready>
  void Sleep(int peer, const Ready& ready) const {
    const Doorbell::Listener listener(channel_.state(peer).bell);
    Deadline deadline(channel_.control(), peer, patience_);
    for (;;) {
      const uint32_t heard = listener.rings();
      if (ready()) return;
      channel_.control().ThrowIfAborted();
      deadline.ThrowIfOver();
      const uint64_t start = MonotonicNanoseconds();
      listener.Sleep(heard, std::min<std::chrono::nanoseconds>(deadline.left(), kSlice));
      const std::chrono::nanoseconds slept(MonotonicNanoseconds() - start);
      // When the whole run was suspended (Ctrl-Z), the peer needs its time again.
      deadline.Spend(std::min<std::chrono::nanoseconds>(slept, 2 * kSlice));
    }
  }

  const Channel& channel_;
  const Patience patience_;
  std::atomic<int> spins_{0};
  std::atomic<uint64_t> waited_{0};
};

}  // namespace distri::shm
