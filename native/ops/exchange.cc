#include "ops/exchange.h"

#include <stdexcept>

namespace distri::ops {

Exchange::Exchange(SessionContext& session, int64_t slot) : session_(session), slot_(static_cast<int>(slot)) {
  if (!session.communicator)
    throw std::runtime_error("it exchanges data, but the session has no communicator");
  session.exchanges = true;
}

void* Exchange::Buffer(size_t bytes) const {
  CheckSize(rank(), bytes);
  return session_.communicator->buffer(slot_, step().tick);
}

void Exchange::Publish() const { session_.communicator->publish(slot_, step().tick); }

Reading Exchange::Fetch(int64_t peer, int64_t tick, size_t bytes) const {
  return FetchPart(peer, tick, bytes, 0, bytes);
}

Reading Exchange::FetchPart(int64_t peer, int64_t tick, size_t bytes, size_t offset, size_t read) const {
  CheckSize(static_cast<int>(peer), bytes);
  return session_.communicator->fetch(slot_, static_cast<int>(peer), tick, offset, read);
}

void Exchange::CheckSize(int rank, size_t bytes) const {
  const size_t actual = session_.communicator->slot_bytes(slot_, rank);
  if (actual == bytes) return;
  throw CommError(CommErrorCode::kProtocol, "slot " + std::to_string(slot_) + " of rank " +
                                                std::to_string(rank) + " has " + std::to_string(actual) +
                                                " bytes, the operator needs " + std::to_string(bytes));
}

}  // namespace distri::ops
