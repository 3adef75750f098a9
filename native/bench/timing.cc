#include "bench/timing.h"

#include <algorithm>
#include <chrono>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace distri::bench {
namespace {

void Evict([[maybe_unused]] const Range& range) {
#if defined(__x86_64__)
  constexpr size_t kLine = 64;
  for (size_t at = 0; at < range.bytes; at += kLine) _mm_clflush(range.data + at);
  _mm_mfence();
#endif
}

using Clock = std::chrono::steady_clock;

// Threads take some time to wake up, and look for work a while before they sleep again.
void Wake(const Contestant& contestant) {
  constexpr auto kTime = std::chrono::microseconds(100);
  contestant.wake();
  const auto end = Clock::now() + kTime;
  while (Clock::now() < end) {
  }
}

}  // namespace

bool CanEvict() {
#if defined(__x86_64__)
  return true;
#else
  return false;
#endif
}

std::vector<double> TimeCalls(const Contestant& contestant, int calls) {
  // Threads of others' pools spin a while before they sleep.
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
  contestant.run();
  std::vector<double> seconds;
  for (int call = 0; call < calls; ++call) {
    for (const Range& range : contestant.cold) Evict(range);
    if (!contestant.cold.empty() && contestant.wake) Wake(contestant);
    const auto start = Clock::now();
    contestant.run();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return seconds;
}

double Best(const std::vector<double>& seconds) { return *std::min_element(seconds.begin(), seconds.end()); }

double Median(std::vector<double> seconds) {
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return *middle;
}

}  // namespace distri::bench
