#pragma once

#include <cstdint>

#include "comm/shm/control_block.h"
#include "comm/shm/peer_waiter.h"

namespace distri::shm {

// A rank's part in one generation of communicators of a channel: begins with the constructor,
// ends with the destructor.
//
// A rank resizes its segment only between AwaitPredecessors() and AnnounceReady(). That can't take memory
// from somebody who reads it: a peer maps the segment after AwaitReady(), and leaves its generation after it
// unmapped (members that map are declared after the membership, so they are destroyed before it). When all
// have left generation g - 1 nobody maps anything of it, and nobody maps anything of g before it is
// announced.
class Membership {
 public:
  // Throws CommError(kProtocol) unless this rank has joined and left exactly the generations before this one.
  Membership(const Channel& channel, int rank, uint64_t generation);
  ~Membership();
  Membership(const Membership&) = delete;
  Membership& operator=(const Membership&) = delete;

  // Waits until all ranks have left the generation before.
  void AwaitPredecessors(PeerWaiter& waiter) const;
  // Says that this rank's segment can be mapped.
  void AnnounceReady() const;
  // Waits until the segment of `peer` can be mapped.
  void AwaitReady(PeerWaiter& waiter, int peer) const;

 private:
  const Channel& channel_;
  ChannelState& state_;
  const uint64_t generation_;
};

}  // namespace distri::shm
