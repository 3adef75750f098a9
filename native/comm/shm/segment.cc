#include "comm/shm/segment.h"

namespace distri::shm {
namespace {

// A cache line: no two words or slots share one.
constexpr size_t kAlignment = 64;

size_t Align(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

SegmentLayout::SegmentLayout(const std::vector<size_t>& slot_bytes) : sizes_(slot_bytes) {
  bytes_ = kAlignment * kParities * (slot_bytes.size() + 1);
  staging_ = bytes_;
  bytes_ += kParities * kChunkBytes;
  for (const size_t size : slot_bytes) {
    offsets_.push_back(bytes_);
    bytes_ += kParities * Align(size);
  }
}

size_t SegmentLayout::sequence_offset(int slot, int parity) const {
  return kAlignment * (static_cast<size_t>(slot + 1) * kParities + static_cast<size_t>(parity));
}

size_t SegmentLayout::data_offset(int slot, int parity) const {
  const size_t second = static_cast<size_t>(parity);
  if (slot == kStaging) return staging_ + second * kChunkBytes;
  return offsets_[static_cast<size_t>(slot)] + second * Align(slot_bytes(slot));
}

Word& Segment::sequence(int slot, uint64_t number) const {
  return *reinterpret_cast<Word*>(mapping_.data() + layout_->sequence_offset(slot, number % kParities));
}

char* Segment::data(int slot, uint64_t number) const {
  return mapping_.data() + layout_->data_offset(slot, number % kParities);
}

}  // namespace distri::shm
