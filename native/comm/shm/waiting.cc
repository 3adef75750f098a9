#include "comm/shm/waiting.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <ctime>
#include <utility>

#include "comm/communicator.h"

namespace distri::shm {
namespace {

constexpr int kSpins = 2000;
// The longest time until an abort or the timeout is noticed.
constexpr int64_t kSliceNs = 20'000'000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Sleeps while the word has this value, for a slice at most. Not a private futex: other processes wake it.
void Sleep(const Word& word, uint32_t value) {
  const timespec slice{0, kSliceNs};
  syscall(SYS_futex, &word, FUTEX_WAIT, value, &slice, nullptr, 0);
}

std::string Seconds(int64_t nanoseconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", static_cast<double>(nanoseconds) * 1e-9);
  return text;
}

}  // namespace

uint64_t MonotonicNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

void Wake(const Word& word) { syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

Waiting::Waiting(std::function<void()> check_abort, int64_t timeout_ms, bool spin)
    : check_abort_(std::move(check_abort)), timeout_ns_(timeout_ms * 1'000'000), spin_(spin) {}

void Waiting::Slow(const Word& word, const std::string& whom, const std::function<bool(uint32_t)>& done) {
  const uint64_t start = MonotonicNow();
  const auto elapsed = [&] { return static_cast<int64_t>(MonotonicNow() - start); };
  bool reached = spin_ && Spin(word, done);
  while (!reached) {
    check_abort_();
    const uint32_t value = word.load(std::memory_order_acquire);
    reached = done(value);
    if (reached) break;
    if (elapsed() > timeout_ns_)
      throw CommError(CommErrorCode::kTimeout, "waited " + Seconds(elapsed()) + " for " + whom);
    Sleep(word, value);
  }
  waited_.fetch_add(static_cast<uint64_t>(elapsed()), std::memory_order_relaxed);
}

bool Waiting::Spin(const Word& word, const std::function<bool(uint32_t)>& done) const {
  for (int i = 0; i < kSpins; ++i) {
    Pause();
    if (done(word.load(std::memory_order_acquire))) return true;
  }
  return false;
}

}  // namespace distri::shm
