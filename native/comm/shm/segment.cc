#include "comm/shm/segment.h"

#include <string>

#include "comm/communicator.h"

namespace distri::shm {
namespace {

constexpr uint64_t kMagic = 0x6469737473656731;  // "distseg1"
constexpr size_t kLine = 64;
// More than any memory; sums over all ranks and parities don't overflow.
constexpr uint64_t kMaxBytes = uint64_t{1} << 50;

[[noreturn]] void Refuse(const std::string& message) { throw CommError(CommErrorCode::kProtocol, message); }

[[noreturn]] void RefuseFile(const SharedFile& file) {
  Refuse("the descriptor of " + file.name() + " belongs to something else");
}

size_t RoundUp(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

bool IsSegment(const SharedFile& file, int rank) {
  if (file.size() < sizeof(SegmentHeader)) return false;
  const Mapping mapping(file, sizeof(SegmentHeader), Mapping::Access::kRead);
  const auto* header = reinterpret_cast<const SegmentHeader*>(mapping.data());
  return header->magic == kMagic && header->rank == static_cast<uint64_t>(rank);
}

// Makes room for a segment; leaves nothing behind when there is not enough.
void Replace(const SharedFile& file, size_t bytes) {
  file.Clear();
  try {
    file.Allocate(bytes);
  } catch (const CommError&) {
    file.Clear();
    throw;
  }
}

}  // namespace

uint64_t Digest(const std::vector<SlotSpec>& slots) {
  // FNV-1a over 64-bit words.
  uint64_t digest = 0xcbf29ce484222325;
  const auto add = [&](uint64_t word) { digest = (digest ^ word) * 0x100000001b3; };
  for (const SlotSpec& slot : slots) {
    add(slot.bytes.size());
    for (const uint64_t bytes : slot.bytes) add(bytes);
    for (const std::vector<int>& readers : slot.readers) {
      add(readers.size());
      for (const int reader : readers) add(static_cast<uint64_t>(reader));
    }
  }
  return digest;
}

SegmentLayout::SegmentLayout(const std::vector<SlotSpec>& slots, int rank)
    : bytes_(sizeof(SegmentHeader) + slots.size() * 2 * kLine) {
  for (const SlotSpec& slot : slots) {
    const uint64_t bytes = slot.bytes[static_cast<size_t>(rank)];
    for (int parity = 0; parity < 2; ++parity) {
      if (bytes > kMaxBytes || bytes_ > kMaxBytes) {
        Refuse("the slots of rank " + std::to_string(rank) + " are larger than any memory");
      }
      buffers_.push_back(bytes_);
      bytes_ += RoundUp(bytes);
    }
  }
}

size_t SegmentLayout::sequence(size_t slot, size_t parity) const {
  return sizeof(SegmentHeader) + (2 * slot + parity) * kLine;
}

Segment Segment::Create(const SharedFile& file, const SegmentLayout& layout, int rank, uint64_t generation) {
  // A wrong descriptor must not cost its owner the content.
  if (file.size() != 0 && !IsSegment(file, rank)) RefuseFile(file);
  Replace(file, layout.bytes());
  Segment segment(Mapping(file, layout.bytes(), Mapping::Access::kReadWrite), layout);
  SegmentHeader& header = segment.header();
  header.magic = kMagic;
  header.rank = static_cast<uint64_t>(rank);
  header.generation = generation;
  return segment;
}

Segment Segment::Open(const SharedFile& file, const SegmentLayout& layout, int rank, uint64_t generation) {
  if (!IsSegment(file, rank)) RefuseFile(file);
  Segment segment(Mapping(file, layout.bytes(), Mapping::Access::kRead), layout);
  if (segment.header().generation != generation) {
    Refuse(file.name() + " is of generation " + std::to_string(segment.header().generation) + ", not " +
           std::to_string(generation));
  }
  return segment;
}

}  // namespace distri::shm
