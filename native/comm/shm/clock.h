#pragma once

#include <time.h>

#include <cstdint>

namespace distri::shm {

// CLOCK_MONOTONIC, which all processes of a host share.
inline uint64_t MonotonicNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace distri::shm
