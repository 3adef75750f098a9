#include "comm/shm/peer_waiter.h"

#include <cstdio>
#include <string>

#include "comm/communicator.h"

namespace distri::shm {

std::chrono::nanoseconds PeerWaiter::Deadline::left() const {
  return std::min(patience_.silence - silent_, patience_.deadlock - waited_);
}

void PeerWaiter::Deadline::Spend(std::chrono::nanoseconds time) {
  const uint64_t beat = control_.last_beat(peer_);
  waited_ += time;
  silent_ = beat == beat_ ? silent_ + time : std::chrono::nanoseconds::zero();
  beat_ = beat;
}

void PeerWaiter::Deadline::ThrowIfOver() const {
  if (left() > std::chrono::nanoseconds::zero()) return;
  const bool alive = silent_ < patience_.silence;
  const std::chrono::duration<double> limit(alive ? patience_.deadlock : patience_.silence);
  char seconds[32];
  std::snprintf(seconds, sizeof seconds, "%.1f", limit.count());
  throw CommError(CommErrorCode::kTimeout, "waited " + std::string(seconds) + " s for rank " +
                                               std::to_string(peer_) +
                                               (alive ? ", which is alive but did not come" : ""));
}

}  // namespace distri::shm
