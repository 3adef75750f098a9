// The part of shared memory that one rank writes and all read: its slots and a staging area for broadcasts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "comm/shm/mapping.h"
#include "comm/shm/waiting.h"

namespace distri::shm {

// Everything in a segment is there twice, for even and odd ticks (slots) or chunks (staging).
constexpr int kParities = 2;
constexpr size_t kChunkBytes = size_t{256} << 10;

// Where a rank's slots lie: computed alike by the rank and its readers.
class SegmentLayout {
 public:
  explicit SegmentLayout(const std::vector<size_t>& slot_bytes);

  size_t bytes() const { return bytes_; }
  int slots() const { return static_cast<int>(offsets_.size()); }
  size_t slot_bytes(int slot) const { return sizes_[static_cast<size_t>(slot)]; }

  // Word that holds (tick or chunk number) + 1 of the data at the same place, 0 for none. The staging area comes
  // before the slots, as number -1.
  size_t sequence_offset(int slot, int parity) const;
  size_t data_offset(int slot, int parity) const;

 private:
  std::vector<size_t> sizes_;
  std::vector<size_t> offsets_;
  size_t staging_ = 0;
  size_t bytes_ = 0;
};

constexpr int kStaging = -1;

// A mapped segment.
class Segment {
 public:
  Segment() = default;
  Segment(int fd, const SegmentLayout& layout, bool writable, const std::string& owner)
      : layout_(&layout), mapping_(fd, layout.bytes(), writable, "the segment of " + owner) {}

  Word& sequence(int slot, uint64_t number) const;
  char* data(int slot, uint64_t number) const;

 private:
  const SegmentLayout* layout_ = nullptr;
  Mapping mapping_;
};

}  // namespace distri::shm
