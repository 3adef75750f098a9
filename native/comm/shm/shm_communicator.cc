#include "comm/shm/shm_communicator.h"

#include <sched.h>

#include <string>
#include <utility>

namespace distri::shm {
namespace {

constexpr int kSpins = 2000;
// Keeps sequence words below 2^64.
constexpr int64_t kMaxTick = int64_t{1} << 62;

[[noreturn]] void Refuse(const std::string& message) { throw CommError(CommErrorCode::kProtocol, message); }

// What a sequence word says: odd while its owner fills the buffer, even when it is published. Grows with the
// tick.
uint64_t Filling(int64_t tick) { return 2 * static_cast<uint64_t>(tick) + 1; }
uint64_t Published(int64_t tick) { return 2 * static_cast<uint64_t>(tick) + 2; }
int64_t TickOf(uint64_t sequence) { return static_cast<int64_t>((sequence - 1) / 2); }

std::string Describe(int slot, int rank, int64_t tick) {
  return "tick " + std::to_string(tick) + " of slot " + std::to_string(slot) + " of rank " +
         std::to_string(rank);
}

const CommunicatorOptions& Checked(const CommunicatorOptions& options) {
  CheckOptions(options);
  if (options.segment_fds.size() != static_cast<size_t>(options.run.world_size)) {
    Refuse("there is not one segment per rank");
  }
  return options;
}

std::vector<SharedFile> OpenSegments(const std::vector<int>& descriptors) {
  std::vector<SharedFile> files;
  for (const int descriptor : descriptors) {
    files.emplace_back(descriptor, "the segment of rank " + std::to_string(files.size()));
  }
  return files;
}

// All ranks look at the same before they allocate. What a rank is given meanwhile is missing in the headroom
// of those that look later, and in what they add up as well.
void CheckHeadroom(const CommunicatorOptions& options, const std::vector<SharedFile>& files) {
  uint64_t needed = 0;
  uint64_t there = 0;
  for (size_t rank = 0; rank < files.size(); ++rank) {
    needed += SegmentLayout(options.slots, static_cast<int>(rank)).bytes();
    there += files[rank].allocated();
  }
  if (needed <= there || needed - there <= options.headroom) return;
  Refuse("what " + std::to_string(files.size()) + " ranks exchange needs " +
         std::to_string((needed - there) >> 20) + " MiB of memory, " +
         std::to_string(options.headroom >> 20) + " MiB are available");
}

// Ranks that share CPUs must not spin: they would take time from the rank that they wait for.
int ChooseSpins(const Channel& channel) {
  cpu_set_t all;
  CPU_ZERO(&all);
  for (int rank = 0; rank < channel.world_size(); ++rank) CPU_OR(&all, &all, &channel.state(rank).cpus);
  return channel.world_size() <= CPU_COUNT(&all) ? kSpins : 0;
}

}  // namespace

ShmCommunicator::ShmCommunicator(const CommunicatorOptions& options)
    : Communicator(Checked(options).rank, options.run.world_size, options.slots),
      generation_(options.generation),
      digest_(Digest(options.slots)),
      control_(options.run),
      channel_(control_, options.channel),
      waiter_(channel_, Patience::For(options.timeout)),
      files_(OpenSegments(options.segment_fds)),
      broadcaster_(channel_, waiter_, segments_, options.rank) {
  CheckHeadroom(options, files_);
}

void ShmCommunicator::connect() {
  control_.ThrowIfAborted();
  membership_.emplace(channel_, rank(), generation_);
  membership_->AwaitPredecessors(waiter_);
  Segment own = CreateSegment();
  membership_->AnnounceReady();
  for (int peer = 0; peer < size(); ++peer) {
    segments_.push_back(peer == rank() ? std::move(own) : OpenSegment(peer));
  }
  files_.clear();
  waiter_.set_spins(ChooseSpins(channel_));
  connected_ = true;
}

Segment ShmCommunicator::CreateSegment() const {
  ChannelState& state = channel_.state(rank());
  state.slots = digest_;
  CPU_ZERO(&state.cpus);
  constexpr pid_t kThisThread = 0;
  // Left empty where the kernel has more CPUs than the set has room for.
  sched_getaffinity(kThisThread, sizeof state.cpus, &state.cpus);
  return Segment::Create(files_[static_cast<size_t>(rank())], {slots(), rank()}, rank(), generation_);
}

Segment ShmCommunicator::OpenSegment(int peer) {
  membership_->AwaitReady(waiter_, peer);
  if (channel_.state(peer).slots != digest_) {
    Refuse("ranks " + std::to_string(rank()) + " and " + std::to_string(peer) + " disagree on the slots");
  }
  return Segment::Open(files_[static_cast<size_t>(peer)], {slots(), peer}, peer, generation_);
}

void* ShmCommunicator::buffer(int slot, int64_t tick) {
  const Place own = At(slot, rank(), tick);
  CheckUnpublished(own, slot, tick);
  own.sequence.store(Filling(tick));
  return own.data;
}

void ShmCommunicator::publish(int slot, int64_t tick) {
  const Place own = At(slot, rank(), tick);
  CheckUnpublished(own, slot, tick);
  channel_.state(rank()).bell.Announce(own.sequence, Published(tick));
  bytes_published_.fetch_add(own.bytes, std::memory_order_relaxed);
}

const std::byte* ShmCommunicator::find(int slot, int peer, int64_t tick, size_t bytes) {
  const Place place = At(slot, peer, tick);
  uint64_t found = 0;
  waiter_.Wait(peer, [&] { return (found = place.sequence.load()) >= Published(tick); });
  if (found != Published(tick)) {
    Refuse(Describe(slot, peer, tick) + " is overwritten by tick " + std::to_string(TickOf(found)));
  }
  if (peer != rank()) bytes_fetched_.fetch_add(bytes, std::memory_order_relaxed);
  return place.data;
}

bool ShmCommunicator::holds(int slot, int peer, int64_t tick) const {
  return At(slot, peer, tick).sequence.load() == Published(tick);
}

void ShmCommunicator::barrier() {
  CheckConnected();
  const auto barriers = [&](int rank) -> std::atomic<uint64_t>& {
    return segments_[static_cast<size_t>(rank)].header().barriers;
  };
  const uint64_t count = ++barriers_;
  channel_.state(rank()).bell.Announce(barriers(rank()), count);
  for (int peer = 0; peer < size(); ++peer) {
    waiter_.Wait(peer, [&] { return barriers(peer).load() >= count; });
  }
}

void ShmCommunicator::broadcast(void* data, size_t bytes, int root) {
  CheckConnected();
  CheckRank(root);
  broadcaster_.Broadcast(static_cast<std::byte*>(data), bytes, root);
  (root == rank() ? bytes_published_ : bytes_fetched_).fetch_add(bytes, std::memory_order_relaxed);
}

CommStatistics ShmCommunicator::statistics() const {
  return {bytes_published_.load(std::memory_order_relaxed), bytes_fetched_.load(std::memory_order_relaxed),
          waiter_.nanoseconds_waited()};
}

void ShmCommunicator::CheckConnected() const {
  if (!connected_) Refuse("the communicator is not connected");
}

void ShmCommunicator::CheckUnpublished(const Place& own, int slot, int64_t tick) const {
  const uint64_t found = own.sequence.load();
  if (found < Published(tick)) return;
  Refuse(Describe(slot, rank(), tick) + " comes after tick " + std::to_string(TickOf(found)));
}

ShmCommunicator::Place ShmCommunicator::At(int slot, int rank, int64_t tick) const {
  const size_t bytes = slot_bytes(slot, rank);
  CheckConnected();
  if (tick < 0 || tick > kMaxTick) Refuse("there is no tick " + std::to_string(tick));
  const Segment& segment = segments_[static_cast<size_t>(rank)];
  const size_t parity = static_cast<size_t>(tick % 2);
  const auto index = static_cast<size_t>(slot);
  return {segment.sequence(index, parity), segment.buffer(index, parity), bytes};
}

}  // namespace distri::shm
