#include "comm/shm/control_block.h"

#include <string>

#include "comm/communicator.h"
#include "comm/shm/clock.h"

namespace distri::shm {
namespace {

constexpr uint64_t kMagic = 0x64697374;  // "dist"
constexpr uint64_t kVersion = 1;
static_assert(ControlBlock::kMaxRanks <= 0xffff);

// Everything that has to agree, in one word, so that the first to map the file can claim it in one operation.
uint64_t Identity(int world_size) {
  return kMagic << 32 | kVersion << 16 | static_cast<uint64_t>(world_size);
}

[[noreturn]] void Refuse(uint64_t found, uint64_t wanted) {
  std::string message = "the control block is of another version of distri";
  if (found >> 32 != kMagic) {
    message = "the descriptor of the control block belongs to something else";
  } else if (found >> 16 == wanted >> 16) {
    message = "the control block was made for " + std::to_string(found & 0xffff) + " ranks, not " +
              std::to_string(wanted & 0xffff);
  }
  throw CommError(CommErrorCode::kProtocol, message);
}

// Values of `aborted`; 0 is nobody.
uint32_t EncodeAborter(int rank) { return static_cast<uint32_t>(rank - ControlBlock::kParent) + 1; }
int DecodeAborter(uint32_t word) { return static_cast<int>(word) - 1 + ControlBlock::kParent; }

}  // namespace

ControlBlock::ControlBlock(int fd, int world_size) : world_size_(world_size), mapping_(Map(fd, world_size)) {}

Mapping ControlBlock::Map(int fd, int world_size) {
  const SharedFile file(fd, "the control block");
  const size_t bytes = sizeof(Header) + sizeof(RankState) * static_cast<size_t>(world_size);
  // Never shrinks, so it does no harm when another process does the same at this moment.
  if (file.size() == 0) file.Allocate(bytes);
  const Mapping start(file, sizeof(Header), Mapping::Access::kReadWrite);
  auto& identity = reinterpret_cast<Header*>(start.data())->identity;
  const uint64_t wanted = Identity(world_size);
  uint64_t found = 0;
  if (!identity.compare_exchange_strong(found, wanted) && found != wanted) Refuse(found, wanted);
  return Mapping(file, bytes, Mapping::Access::kReadWrite);
}

void ControlBlock::Abort(int rank) {
  uint32_t nobody = 0;
  if (!header().aborted.compare_exchange_strong(nobody, EncodeAborter(rank))) return;
  for (int i = 0; i < world_size_; ++i) state(i).bell.Ring();
}

std::optional<int> ControlBlock::aborted_by() const {
  const uint32_t word = header().aborted.load();
  if (word == 0) return std::nullopt;
  return DecodeAborter(word);
}

void ControlBlock::ThrowIfAborted() const {
  const std::optional<int> aborter = aborted_by();
  if (!aborter) return;
  const std::string who =
      *aborter == kParent ? "the run was stopped" : "rank " + std::to_string(*aborter) + " stopped the run";
  throw CommError(CommErrorCode::kAborted, who);
}

void ControlBlock::Beat(int rank) { state(rank).beat.store(MonotonicNanoseconds()); }

std::optional<std::chrono::nanoseconds> ControlBlock::Silence(int rank) const {
  // Read before the clock, so that a beat in between can't make it negative.
  const uint64_t beat = state(rank).beat.load();
  if (beat == 0) return std::nullopt;
  return std::chrono::nanoseconds(MonotonicNanoseconds() - beat);
}

}  // namespace distri::shm
