#include "comm/shm/shm_communicator.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace distri::shm {
namespace {

std::string RankName(int rank) { return "rank " + std::to_string(rank); }

[[noreturn]] void Refuse(const std::string& message) { throw CommError(CommErrorCode::kProtocol, message); }

// Counters wrap around, so "at least" is a question of their distance.
bool Reached(uint32_t value, uint32_t wanted) { return static_cast<int32_t>(value - wanted) >= 0; }

// Where more ranks run than there are CPUs, a spinning rank would keep the one it waits for from running.
bool MaySpin(int world_size) { return sysconf(_SC_NPROCESSORS_ONLN) >= world_size; }

ShmOptions Checked(ShmOptions options) {
  const auto ranks = static_cast<size_t>(options.world_size);
  if (options.rank < 0 || options.rank >= options.world_size)
    Refuse("there is no rank " + std::to_string(options.rank) + " of " + std::to_string(options.world_size));
  if (options.segment_fds.size() != ranks) Refuse("there must be one segment per rank");
  for (const auto& bytes : options.slot_bytes)
    if (bytes.size() != ranks) Refuse("every slot needs a size per rank");
  return options;
}

std::vector<SegmentLayout> Layouts(const ShmOptions& options) {
  std::vector<SegmentLayout> layouts;
  for (size_t rank = 0; rank < options.segment_fds.size(); ++rank) {
    std::vector<size_t> sizes;
    for (const auto& bytes : options.slot_bytes) sizes.push_back(bytes[rank]);
    layouts.emplace_back(sizes);
  }
  return layouts;
}

}  // namespace

ShmCommunicator::ShmCommunicator(ShmOptions options)
    : options_(Checked(std::move(options))),
      control_(options_.control_fd, options_.world_size),
      waiting_([this] { control_.CheckAbort(); }, options_.timeout_ms, MaySpin(options_.world_size)),
      layouts_(Layouts(options_)),
      segments_(options_.segment_fds.size()) {}

ShmCommunicator::~ShmCommunicator() { Close(); }

void ShmCommunicator::Connect() {
  if (state_ != State::kNew) Refuse("a communicator connects once");
  const auto self = static_cast<size_t>(options_.rank);
  const uint32_t before = options_.generation - 1;
  if (own().left.load(std::memory_order_acquire) != before)
    Refuse("generation " + std::to_string(options_.generation) + " does not follow generation " +
           std::to_string(own().left.load(std::memory_order_acquire)));
  for (int peer = 0; peer < options_.world_size; ++peer)
    waiting_.Until(control_.rank(peer).left, RankName(peer), [&](uint32_t left) { return Reached(left, before); });

  chunks_ = own().chunks.load(std::memory_order_relaxed);
  const std::string name = RankName(options_.rank);
  AllocateFile(options_.segment_fds[self], layouts_[self].bytes(), "the segment of " + name);
  segments_[self] = Segment(options_.segment_fds[self], layouts_[self], true, name);
  own().segment_bytes.store(layouts_[self].bytes(), std::memory_order_relaxed);
  own().joined.store(options_.generation, std::memory_order_release);
  Wake(own().joined);
  for (int peer = 0; peer < options_.world_size; ++peer)
    if (peer != options_.rank) JoinPeer(peer);
  state_ = State::kConnected;
}

void ShmCommunicator::JoinPeer(int peer) {
  const RankState& state = control_.rank(peer);
  waiting_.Until(state.joined, RankName(peer),
                 [&](uint32_t joined) { return Reached(joined, options_.generation); });
  const auto index = static_cast<size_t>(peer);
  if (state.segment_bytes.load(std::memory_order_relaxed) != layouts_[index].bytes())
    Refuse(RankName(peer) + " has other slots than " + RankName(options_.rank) + " expects");
  segments_[index] = Segment(options_.segment_fds[index], layouts_[index], false, RankName(peer));
}

void ShmCommunicator::Close() {
  if (state_ != State::kConnected) return;
  state_ = State::kClosed;
  for (Segment& segment : segments_) segment = Segment();
  own().left.store(options_.generation, std::memory_order_release);
  Wake(own().left);
}

size_t ShmCommunicator::slot_bytes(int slot, int rank) const { return CheckSlot(slot, rank).slot_bytes(slot); }

void* ShmCommunicator::buffer(int slot, int64_t tick) {
  CheckSlot(slot, options_.rank);
  CheckConnected();
  return segments_[static_cast<size_t>(options_.rank)].data(slot, static_cast<uint64_t>(tick));
}

void ShmCommunicator::publish(int slot, int64_t tick) {
  const size_t bytes = slot_bytes(slot, options_.rank);
  CheckConnected();
  Word& sequence = segments_[static_cast<size_t>(options_.rank)].sequence(slot, static_cast<uint64_t>(tick));
  sequence.store(static_cast<uint32_t>(tick + 1), std::memory_order_release);
  Wake(sequence);
  bytes_published_.fetch_add(bytes, std::memory_order_relaxed);
}

const void* ShmCommunicator::fetch(int slot, int peer, int64_t tick) {
  const size_t bytes = slot_bytes(slot, peer);
  CheckConnected();
  const Segment& segment = segments_[static_cast<size_t>(peer)];
  const Word& sequence = segment.sequence(slot, static_cast<uint64_t>(tick));
  const auto wanted = static_cast<uint32_t>(tick + 1);
  // A word of 0 was never written, however far ticks have come.
  waiting_.Until(sequence, RankName(peer),
                 [&](uint32_t value) { return value != 0 && Reached(value, wanted); });
  if (sequence.load(std::memory_order_acquire) != wanted)
    Refuse("slot " + std::to_string(slot) + " of " + RankName(peer) + " no longer has tick " + std::to_string(tick));
  if (peer != options_.rank) bytes_fetched_.fetch_add(bytes, std::memory_order_relaxed);
  return segment.data(slot, static_cast<uint64_t>(tick));
}

void ShmCommunicator::barrier() {
  CheckConnected();
  const uint32_t mine = own().barriers.load(std::memory_order_relaxed) + 1;
  own().barriers.store(mine, std::memory_order_release);
  Wake(own().barriers);
  for (int peer = 0; peer < options_.world_size; ++peer)
    waiting_.Until(control_.rank(peer).barriers, RankName(peer), [&](uint32_t value) { return Reached(value, mine); });
}

void ShmCommunicator::broadcast(void* data, size_t bytes, int root) {
  CheckConnected();
  control_.rank(root);
  auto* cursor = static_cast<char*>(data);
  for (size_t done = 0; done < bytes; done += kChunkBytes, ++chunks_) {
    const size_t size = std::min(kChunkBytes, bytes - done);
    if (root == options_.rank)
      SendChunk(cursor + done, size);
    else
      TakeChunk(cursor + done, size, root);
    own().chunks.store(chunks_ + 1, std::memory_order_release);
    Wake(own().chunks);
  }
}

void ShmCommunicator::SendChunk(const char* data, size_t bytes) {
  // The place is free when everybody has taken the chunk before the last one.
  for (int peer = 0; peer < options_.world_size; ++peer)
    waiting_.Until(control_.rank(peer).chunks, RankName(peer),
                   [&](uint32_t taken) { return Reached(taken + 1, chunks_); });
  const Segment& segment = segments_[static_cast<size_t>(options_.rank)];
  std::memcpy(segment.data(kStaging, chunks_), data, bytes);
  Word& sequence = segment.sequence(kStaging, chunks_);
  sequence.store(chunks_ + 1, std::memory_order_release);
  Wake(sequence);
  bytes_published_.fetch_add(bytes, std::memory_order_relaxed);
}

void ShmCommunicator::TakeChunk(char* data, size_t bytes, int root) {
  const Segment& segment = segments_[static_cast<size_t>(root)];
  waiting_.Until(segment.sequence(kStaging, chunks_), RankName(root),
                 [&](uint32_t number) { return number == chunks_ + 1; });
  std::memcpy(data, segment.data(kStaging, chunks_), bytes);
  bytes_fetched_.fetch_add(bytes, std::memory_order_relaxed);
}

CommStatistics ShmCommunicator::statistics() const {
  return {bytes_published_.load(std::memory_order_relaxed), bytes_fetched_.load(std::memory_order_relaxed),
          waiting_.nanoseconds_waited()};
}

const SegmentLayout& ShmCommunicator::CheckSlot(int slot, int rank) const {
  control_.rank(rank);
  const SegmentLayout& layout = layouts_[static_cast<size_t>(rank)];
  if (slot < 0 || slot >= layout.slots())
    Refuse("there is no slot " + std::to_string(slot) + ", only " + std::to_string(layout.slots()));
  return layout;
}

void ShmCommunicator::CheckConnected() const {
  if (state_ != State::kConnected) Refuse("the communicator is not connected");
}

}  // namespace distri::shm
