// The memory in which one rank leaves data for the others: only its owner writes to it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "comm/shm/mapping.h"

namespace distri::shm {

// Changes whenever a slot's size or reader, a slot or a rank does.
uint64_t Digest(const std::vector<SlotSpec>& slots);

// Where things lie in a rank's segment: a header, a sequence word per slot and parity, a buffer per slot and
// parity. Every rank computes the same from the same sizes.
class SegmentLayout {
 public:
  // Throws CommError(kProtocol) when the sizes add up to more than a file can have.
  SegmentLayout(const std::vector<SlotSpec>& slots, int rank);

  size_t bytes() const { return bytes_; }
  // Offsets of the two parities of a slot.
  size_t sequence(size_t slot, size_t parity) const;
  size_t buffer(size_t slot, size_t parity) const { return buffers_[2 * slot + parity]; }

 private:
  std::vector<size_t> buffers_;
  size_t bytes_;
};

// How broadcasts pass through a segment, see Broadcaster.
struct Stage {
  static constexpr size_t kBytes = size_t{256} << 10;

  uint64_t chunk;
  uint64_t total_bytes;
  alignas(64) std::byte data[kBytes];
};

struct SegmentHeader {
  uint64_t magic;
  uint64_t rank;
  uint64_t generation;
  // Barriers that the rank has entered.
  alignas(64) std::atomic<uint64_t> barriers;
  // Chunks of broadcasts that the rank is done with.
  alignas(64) std::atomic<uint64_t> chunks;
  alignas(64) Stage stages[2];
};

class Segment {
 public:
  // Makes `rank`'s segment out of `file`, all zero. No other process may have mapped it.
  static Segment Create(const SharedFile& file, const SegmentLayout& layout, int rank, uint64_t generation);
  // Maps the segment that `rank` made. Throws CommError(kProtocol) when the file is not that.
  static Segment Open(const SharedFile& file, const SegmentLayout& layout, int rank, uint64_t generation);

  // Zero bytes are valid objects of these types; Create and Open ensure that they are there.
  SegmentHeader& header() const { return *reinterpret_cast<SegmentHeader*>(mapping_.data()); }
  std::atomic<uint64_t>& sequence(size_t slot, size_t parity) const {
    return *reinterpret_cast<std::atomic<uint64_t>*>(mapping_.data() + layout_.sequence(slot, parity));
  }
  std::byte* buffer(size_t slot, size_t parity) const {
    return mapping_.data() + layout_.buffer(slot, parity);
  }

 private:
  Segment(Mapping mapping, SegmentLayout layout) : mapping_(std::move(mapping)), layout_(std::move(layout)) {}

  Mapping mapping_;
  SegmentLayout layout_;
};

}  // namespace distri::shm
