#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "comm/shm/control_block.h"
#include "comm/shm/peer_waiter.h"
#include "comm/shm/segment.h"

namespace distri::shm {

// Broadcasts of any size in chunks through two stages of the root's segment.
//
// All ranks count the chunks of all broadcasts alike. A rank sets its word `chunks` to c + 1 when it has
// staged chunk c (as root) or copied it (as another rank). So the root may stage chunk c, where c - 2 was,
// when all ranks are at c - 1 or further; and who waits for chunk c waits until the root is at c + 1.
class Broadcaster {
 public:
  // `segments` are those of all ranks and outlive this.
  Broadcaster(const Channel& channel, PeerWaiter& waiter, const std::vector<Segment>& segments, int rank)
      : channel_(channel), waiter_(waiter), segments_(segments), rank_(rank) {}

  // One call at a time. Throws CommError; kProtocol when the ranks disagree on root or size.
  void Broadcast(std::byte* data, size_t bytes, int root);

 private:
  // Part of a broadcast of `total` bytes.
  struct Chunk {
    uint64_t index;
    std::byte* data;
    size_t bytes;
    size_t total;
  };

  void Send(const Chunk& chunk);
  void Receive(const Chunk& chunk, int root);
  std::atomic<uint64_t>& chunks(int rank) const {
    return segments_[static_cast<size_t>(rank)].header().chunks;
  }

  const Channel& channel_;
  PeerWaiter& waiter_;
  const std::vector<Segment>& segments_;
  const int rank_;
  uint64_t count_ = 0;
};

}  // namespace distri::shm
