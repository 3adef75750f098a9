#include "comm/shm/control_block.h"

#include <string>

#include "comm/communicator.h"
#include "comm/shm/clock.h"

namespace distri::shm {
namespace {

constexpr uint64_t kMagic = 0x64697374;  // "dist"
constexpr uint64_t kVersion = 2;
static_assert(ControlBlock::kMaxRanks <= 0xffff && ControlBlock::kMaxChannels <= 0xff);

// Everything that has to agree, in one word, so that the first to map the file can claim it in one operation.
uint64_t Identity(int world_size, int channels) {
  return kMagic << 32 | kVersion << 24 | static_cast<uint64_t>(channels) << 16 |
         static_cast<uint64_t>(world_size);
}

std::string Members(uint64_t identity) {
  return std::to_string(identity & 0xffff) + " ranks and " + std::to_string(identity >> 16 & 0xff) +
         " channels";
}

[[noreturn]] void Refuse(const std::string& message) { throw CommError(CommErrorCode::kProtocol, message); }

[[noreturn]] void Refuse(uint64_t found, uint64_t wanted) {
  if (found >> 32 != kMagic) Refuse("the descriptor of the control block belongs to something else");
  if (found >> 24 != wanted >> 24) Refuse("the control block is of another version of distri");
  Refuse("the control block was made for " + Members(found) + ", not for " + Members(wanted));
}

const RunOptions& Checked(const RunOptions& options) {
  if (options.world_size < 1 || options.world_size > ControlBlock::kMaxRanks) {
    Refuse("the number of ranks is " + std::to_string(options.world_size));
  }
  if (options.channels < 1 || options.channels > ControlBlock::kMaxChannels) {
    Refuse("the number of channels is " + std::to_string(options.channels));
  }
  return options;
}

// Values of `aborted`; 0 is nobody.
uint32_t EncodeAborter(int rank) { return static_cast<uint32_t>(rank - Liveness::kParent) + 1; }
int DecodeAborter(uint32_t word) { return static_cast<int>(word) - 1 + Liveness::kParent; }

}  // namespace

ControlBlock::ControlBlock(const RunOptions& options)
    : world_size_(options.world_size), channels_(options.channels), mapping_(Map(Checked(options))) {}

Mapping ControlBlock::Map(const RunOptions& options) {
  const SharedFile file(options.control_fd, "the control block");
  const auto ranks = static_cast<size_t>(options.world_size);
  const auto channels = static_cast<size_t>(options.channels);
  const size_t bytes = sizeof(Header) + ranks * (sizeof(RankState) + channels * sizeof(ChannelState));
  // Never shrinks, so it does no harm when another process does the same at this moment.
  if (file.size() == 0) file.Allocate(bytes);
  const Mapping start(file, sizeof(Header), Mapping::Access::kReadWrite);
  auto& identity = reinterpret_cast<Header*>(start.data())->identity;
  const uint64_t wanted = Identity(options.world_size, options.channels);
  uint64_t found = 0;
  if (!identity.compare_exchange_strong(found, wanted) && found != wanted) Refuse(found, wanted);
  return Mapping(file, bytes, Mapping::Access::kReadWrite);
}

ChannelState& ControlBlock::channel(int channel, int rank) const {
  std::byte* ranks_end =
      mapping_.data() + sizeof(Header) + sizeof(RankState) * static_cast<size_t>(world_size_);
  return reinterpret_cast<ChannelState*>(ranks_end)[channel * world_size_ + rank];
}

void ControlBlock::abort(int rank) {
  uint32_t nobody = 0;
  if (!header().aborted.compare_exchange_strong(nobody, EncodeAborter(rank))) return;
  for (int each = 0; each < channels_; ++each) {
    for (int peer = 0; peer < world_size_; ++peer) channel(each, peer).bell.Ring();
  }
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

void ControlBlock::beat(int rank) { state(rank).beat.store(MonotonicNanoseconds()); }

std::optional<std::chrono::nanoseconds> ControlBlock::silence(int rank) const {
  // Read before the clock, so that a beat in between can't make it negative.
  const uint64_t last = last_beat(rank);
  if (last == 0) return std::nullopt;
  return std::chrono::nanoseconds(MonotonicNanoseconds() - last);
}

}  // namespace distri::shm
