// Waiting for a word in shared memory to change.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

namespace distri::shm {

using Word = std::atomic<uint32_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == 4, "words are shared between processes");

// Wakes every process that waits for `word`. Call it after changing the word.
void Wake(const Word& word);

// How a rank waits: a short spin, then asleep, with a look at the abort flag and the clock every few milliseconds.
class Waiting {
 public:
  // `aborted` throws when the run was aborted.
  Waiting(std::function<void()> check_abort, int64_t timeout_ms, bool spin);

  // Returns when `done(value of word)`. `whom` is for the error: "rank 2". Throws CommError(kTimeout), or what
  // `check_abort` throws.
  template <class Done>
  void Until(const Word& word, const std::string& whom, Done done) {
    if (done(word.load(std::memory_order_acquire))) return;
    Slow(word, whom, done);
  }

  uint64_t nanoseconds_waited() const { return waited_.load(std::memory_order_relaxed); }

 private:
  void Slow(const Word& word, const std::string& whom, const std::function<bool(uint32_t)>& done);
  bool Spin(const Word& word, const std::function<bool(uint32_t)>& done) const;

  std::function<void()> check_abort_;
  int64_t timeout_ns_;
  bool spin_;
  std::atomic<uint64_t> waited_{0};
};

// Nanoseconds of CLOCK_MONOTONIC, which all processes of a host share.
uint64_t MonotonicNow();

}  // namespace distri::shm
