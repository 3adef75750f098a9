#include "comm/shm/peer_waiter.h"

#include <cstdio>
#include <string>

#include "comm/communicator.h"

namespace distri::shm {

void PeerWaiter::ThrowTimeout(int peer) const {
  char seconds[32];
  std::snprintf(seconds, sizeof seconds, "%.1f", std::chrono::duration<double>(timeout_).count());
  throw CommError(CommErrorCode::kTimeout,
                  "waited " + std::string(seconds) + " s for rank " + std::to_string(peer));
}

}  // namespace distri::shm
