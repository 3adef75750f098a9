// Words that the parent and all ranks of a run share.
#pragma once

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include "comm/liveness.h"
#include "comm/shm/doorbell.h"
#include "comm/shm/mapping.h"
#include "comm/transport.h"

namespace distri::shm {

// Memory of a new file is zero, which is a valid object of these types: no generation yet, never alive.

// What a rank tells its parent and the others.
struct alignas(64) RankState {
  // CLOCK_MONOTONIC of the last sign of life, 0 before the first.
  std::atomic<uint64_t> beat;
};

// What a rank tells the others about its communicators of one channel.
// Only `bell` is written by others than the rank itself (and its parent).
struct ChannelState {
  Doorbell bell;
  // Generations of communicators: the last one that the rank began to make, whose segment is ready, that it
  // left.
  alignas(64) std::atomic<uint64_t> joined;
  std::atomic<uint64_t> ready;
  std::atomic<uint64_t> left;
  // Written before `ready`: digest of the slots, CPUs that the rank may use.
  uint64_t slots;
  cpu_set_t cpus;
};

// A shared memory file that the parent makes, and whoever maps it first fills in.
// Safe to use from all threads and processes.
class ControlBlock final : public Liveness {
 public:
  static constexpr int kMaxRanks = 1024;
  static constexpr int kMaxChannels = 16;

  // Throws CommError(kProtocol) when the file is something else or was made for another number of ranks or
  // channels.
  explicit ControlBlock(const RunOptions& options);

  int world_size() const override { return world_size_; }
  int channels() const { return channels_; }

  void abort(int rank) override;
  std::optional<int> aborted_by() const override;
  void beat(int rank) override;
  std::optional<std::chrono::nanoseconds> silence(int rank) const override;

  // Changes with every beat of a rank; 0 before the first.
  uint64_t last_beat(int rank) const { return state(rank).beat.load(); }
  // Throws CommError(kAborted) that says who aborted.
  void ThrowIfAborted() const;

  ChannelState& channel(int channel, int rank) const;

 private:
  // RankStates follow, then the ChannelStates of all ranks, channel after channel.
  struct alignas(64) Header {
    std::atomic<uint64_t> identity;
    alignas(64) std::atomic<uint32_t> aborted;
  };

  static Mapping Map(const RunOptions& options);

  Header& header() const { return *reinterpret_cast<Header*>(mapping_.data()); }
  RankState& state(int rank) const {
    return reinterpret_cast<RankState*>(mapping_.data() + sizeof(Header))[rank];
  }

  int world_size_;
  int channels_;
  Mapping mapping_;
};

// One channel of a control block, through which its ranks meet and hear of each other.
class Channel {
 public:
  Channel(const ControlBlock& control, int index) : control_(control), index_(index) {}

  const ControlBlock& control() const { return control_; }
  int world_size() const { return control_.world_size(); }
  ChannelState& state(int rank) const { return control_.channel(index_, rank); }

 private:
  const ControlBlock& control_;
  int index_;
};

}  // namespace distri::shm
