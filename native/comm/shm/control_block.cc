#include "comm/shm/control_block.h"

#include <string>

#include "comm/communicator.h"

namespace distri::shm {
namespace {

constexpr uint64_t kMagic = 0x0031697274736964;  // "distri1"
constexpr uint32_t kNobody = 0;
// Ranks start at -1 (the parent) and zero means that nobody aborted.
constexpr int kAborterOffset = 2;

const char kName[] = "the control block";

}  // namespace

struct alignas(64) ControlBlock::Header {
  std::atomic<uint64_t> magic;
  uint32_t world_size;
  Word aborter;
};

ControlBlock::ControlBlock(int fd, int world_size) : world_size_(world_size) {
  const size_t bytes = sizeof(Header) + sizeof(RankState) * static_cast<size_t>(world_size);
  const bool first = FileSize(fd, kName) == 0;
  if (first) AllocateFile(fd, bytes, kName);
  mapping_ = Mapping(fd, bytes, true, kName);
  if (first) {
    header().world_size = static_cast<uint32_t>(world_size);
    header().magic.store(kMagic, std::memory_order_release);
    return;
  }
  if (header().magic.load(std::memory_order_acquire) != kMagic)
    throw CommError(CommErrorCode::kProtocol, "the descriptor is not that of a control block");
  if (header().world_size != static_cast<uint32_t>(world_size))
    throw CommError(CommErrorCode::kProtocol,
                    "the control block is that of " + std::to_string(header().world_size) + " ranks, not of " +
                        std::to_string(world_size));
}

ControlBlock::Header& ControlBlock::header() const { return *reinterpret_cast<Header*>(mapping_.data()); }

RankState& ControlBlock::rank(int rank) const {
  if (rank < 0 || rank >= world_size_)
    throw CommError(CommErrorCode::kProtocol,
                    "there is no rank " + std::to_string(rank) + " of " + std::to_string(world_size_));
  return reinterpret_cast<RankState*>(mapping_.data() + sizeof(Header))[rank];
}

void ControlBlock::Abort(int rank) {
  uint32_t nobody = kNobody;
  header().aborter.compare_exchange_strong(nobody, static_cast<uint32_t>(rank + kAborterOffset));
}

std::optional<int> ControlBlock::aborted_by() const {
  const uint32_t aborter = header().aborter.load(std::memory_order_acquire);
  if (aborter == kNobody) return std::nullopt;
  return static_cast<int>(aborter) - kAborterOffset;
}

void ControlBlock::CheckAbort() const {
  const std::optional<int> rank = aborted_by();
  if (!rank) return;
  throw CommError(CommErrorCode::kAborted,
                  *rank < 0 ? "the run was stopped" : "rank " + std::to_string(*rank) + " stopped the run");
}

void ControlBlock::Beat(int rank) {
  this->rank(rank).heartbeat_ns.store(MonotonicNow(), std::memory_order_relaxed);
}

std::optional<double> ControlBlock::Silence(int rank) const {
  const uint64_t last = this->rank(rank).heartbeat_ns.load(std::memory_order_relaxed);
  if (last == 0) return std::nullopt;
  return static_cast<double>(static_cast<int64_t>(MonotonicNow() - last)) * 1e-6;
}

}  // namespace distri::shm
