#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "comm/communicator.h"
#include "comm/shm/broadcaster.h"
#include "comm/shm/control_block.h"
#include "comm/shm/membership.h"
#include "comm/shm/peer_waiter.h"
#include "comm/shm/segment.h"

namespace distri::shm {

// See CommunicatorOptions in src/engine/addon.ts. Descriptors are duplicated.
struct ShmOptions {
  int rank = 0;
  int world_size = 1;
  int control_fd = -1;
  std::vector<int> segment_fds;
  SlotBytes slot_bytes;
  std::chrono::nanoseconds timeout{};
  uint64_t generation = 1;
};

// Ranks that are processes of one host (or threads of one process) and share memory.
// One thread at a time may be in each of Connect, barrier and broadcast; the rest is safe to use from all
// threads.
class ShmCommunicator final : public Communicator {
 public:
  // Throws CommError(kProtocol) when the options contradict each other or the descriptors.
  explicit ShmCommunicator(ShmOptions options);

  // Allocates this rank's segment, meets the peers and maps theirs. The destructor unmaps.
  void Connect();

  int rank() const override { return options_.rank; }
  int size() const override { return options_.world_size; }
  size_t slot_bytes(int slot, int rank) const override;
  void* buffer(int slot, int64_t tick) override;
  void publish(int slot, int64_t tick) override;
  using Communicator::fetch;
  const void* fetch(int slot, int peer, int64_t tick, size_t read) override;
  void barrier() override;
  void broadcast(void* data, size_t bytes, int root) override;
  CommStatistics statistics() const override;

 private:
  // Where a rank's data of one tick lies.
  struct Place {
    std::atomic<uint64_t>& sequence;
    std::byte* data;
    size_t bytes;
  };

  Segment CreateSegment() const;
  Segment OpenSegment(int peer);
  Place At(int slot, int rank, int64_t tick) const;
  void CheckConnected() const;
  void CheckRank(int rank) const;
  void CheckUnpublished(const Place& own, int slot, int64_t tick) const;

  const ShmOptions options_;
  ControlBlock control_;
  PeerWaiter waiter_;
  std::vector<SharedFile> files_;
  // Destroyed after what is mapped, see Membership.
  std::optional<Membership> membership_;
  std::vector<Segment> segments_;
  Broadcaster broadcaster_;
  std::atomic<bool> connected_{false};
  uint64_t barriers_ = 0;
  std::atomic<uint64_t> bytes_published_{0};
  std::atomic<uint64_t> bytes_fetched_{0};
};

}  // namespace distri::shm
