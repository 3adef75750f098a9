// Words that the parent and all ranks of a run share.
#pragma once

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include "comm/shm/doorbell.h"
#include "comm/shm/mapping.h"

namespace distri::shm {

// What a rank tells the others. Memory of a new file is zero: no generation yet, never alive.
// Only `bell` is written by others than the rank itself (and its parent).
struct RankState {
  Doorbell bell;
  // CLOCK_MONOTONIC of the last sign of life, 0 before the first.
  alignas(64) std::atomic<uint64_t> beat;
  // Generations of communicators: the last one that the rank began to make, whose segment is ready, that it
  // left.
  std::atomic<uint64_t> joined;
  std::atomic<uint64_t> ready;
  std::atomic<uint64_t> left;
  // Written before `ready`: digest of the slots' sizes, CPUs that the rank may use.
  uint64_t slots;
  cpu_set_t cpus;
};

// A shared memory file that the parent makes, and whoever maps it first fills in.
// Safe to use from all threads and processes.
class ControlBlock {
 public:
  static constexpr int kMaxRanks = 1024;
  // Stands for the parent in Abort().
  static constexpr int kParent = -1;

  // Throws CommError(kProtocol) when the file is something else or was made for another number of ranks.
  ControlBlock(int fd, int world_size);

  int world_size() const { return world_size_; }

  // Makes every wait of every rank fail, now and from now on. The first caller stays.
  void Abort(int rank);
  std::optional<int> aborted_by() const;
  // Throws CommError(kAborted) that says who aborted.
  void ThrowIfAborted() const;

  void Beat(int rank);
  // Time since the last beat.
  std::optional<std::chrono::nanoseconds> Silence(int rank) const;

  // Zero bytes are a valid object.
  RankState& state(int rank) const {
    return reinterpret_cast<RankState*>(mapping_.data() + sizeof(Header))[rank];
  }

 private:
  // RankStates follow.
  struct alignas(64) Header {
    std::atomic<uint64_t> identity;
    alignas(64) std::atomic<uint32_t> aborted;
  };

  static Mapping Map(int fd, int world_size);

  Header& header() const { return *reinterpret_cast<Header*>(mapping_.data()); }

  int world_size_;
  Mapping mapping_;
};

}  // namespace distri::shm
