#include "comm/communicator.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>

namespace distri {
namespace {

[[noreturn]] void Refuse(const std::string& message) { throw CommError(CommErrorCode::kProtocol, message); }

std::string Describe(int slot, int rank) {
  return "slot " + std::to_string(slot) + " of rank " + std::to_string(rank);
}

}  // namespace

size_t Communicator::slot_bytes(int slot, int rank) const {
  CheckRank(rank);
  if (slot < 0 || static_cast<size_t>(slot) >= slots_.size()) {
    Refuse("there is no slot " + std::to_string(slot));
  }
  return slots_[static_cast<size_t>(slot)].bytes[static_cast<size_t>(rank)];
}

Reading Communicator::fetch(int slot, int peer, int64_t tick, size_t offset, size_t bytes) {
  const size_t published = slot_bytes(slot, peer);
  if (offset > published || bytes > published - offset) {
    Refuse(Describe(slot, peer) + " has " + std::to_string(published) + " bytes, not " +
           std::to_string(bytes) + " from " + std::to_string(offset) + " on");
  }
#ifdef DISTRI_CHECK_READS
  const std::vector<int>& readers = slots_[static_cast<size_t>(slot)].readers[static_cast<size_t>(peer)];
  if (peer != rank_ && std::find(readers.begin(), readers.end(), rank_) == readers.end()) {
    Refuse("rank " + std::to_string(rank_) + " is no reader of " + Describe(slot, peer));
  }
#endif
  return Reading(find(slot, peer, tick, bytes) + offset, *this, slot, peer, tick);
}

void Communicator::CheckRank(int rank) const {
  if (rank < 0 || rank >= size_) Refuse("there is no rank " + std::to_string(rank));
}

#ifdef DISTRI_CHECK_READS
Reading::~Reading() {
  // Where something failed already, peers may be further than they should.
  if (communicator_ == nullptr || std::uncaught_exceptions() > 0) return;
  if (communicator_->holds(slot_, peer_, tick_)) return;
  std::fprintf(stderr, "rank %d still read tick %lld of slot %d of rank %d when it was overwritten\n",
               communicator_->rank(), static_cast<long long>(tick_), slot_, peer_);
  std::abort();
}
#endif

}  // namespace distri
