#include "comm/shm/membership.h"

#include <string>

#include "comm/communicator.h"

namespace distri::shm {

Membership::Membership(const Channel& channel, int rank, uint64_t generation)
    : channel_(channel), state_(channel.state(rank)), generation_(generation) {
  const uint64_t left = state_.left.load();
  uint64_t joined = generation - 1;
  if (left == joined && state_.joined.compare_exchange_strong(joined, generation)) return;
  joined = state_.joined.load();
  const std::string who = "rank " + std::to_string(rank);
  throw CommError(CommErrorCode::kProtocol,
                  left < joined ? who + " still uses its communicator of generation " + std::to_string(joined)
                                : who + " can't join generation " + std::to_string(generation) +
                                      " after generation " + std::to_string(joined));
}

Membership::~Membership() { state_.bell.Announce(state_.left, generation_); }

void Membership::AwaitPredecessors(PeerWaiter& waiter) const {
  for (int peer = 0; peer < channel_.world_size(); ++peer) {
    waiter.Wait(peer, [&] { return channel_.state(peer).left.load() >= generation_ - 1; });
  }
}

void Membership::AnnounceReady() const { state_.bell.Announce(state_.ready, generation_); }

void Membership::AwaitReady(PeerWaiter& waiter, int peer) const {
  waiter.Wait(peer, [&] { return channel_.state(peer).ready.load() >= generation_; });
}

}  // namespace distri::shm
