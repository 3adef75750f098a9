#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "comm/communicator.h"
#include "comm/shm/broadcaster.h"
#include "comm/shm/control_block.h"
#include "comm/shm/membership.h"
#include "comm/shm/peer_waiter.h"
#include "comm/shm/segment.h"
#include "comm/transport.h"

namespace distri::shm {

// Ranks that are processes of one host (or threads of one process) and share memory.
class ShmCommunicator final : public Communicator {
 public:
  // Throws CommError(kProtocol) when the options contradict each other or the descriptors.
  explicit ShmCommunicator(const CommunicatorOptions& options);

  // Allocates this rank's segment, meets the peers and maps theirs. The destructor unmaps.
  void connect() override;

  void* buffer(int slot, int64_t tick) override;
  void publish(int slot, int64_t tick) override;
  bool holds(int slot, int peer, int64_t tick) const override;
  void barrier() override;
  void broadcast(void* data, size_t bytes, int root) override;
  CommStatistics statistics() const override;

 protected:
  const std::byte* find(int slot, int peer, int64_t tick, size_t bytes) override;

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
  void CheckUnpublished(const Place& own, int slot, int64_t tick) const;

  const uint64_t generation_;
  const uint64_t digest_;
  ControlBlock control_;
  const Channel channel_;
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
