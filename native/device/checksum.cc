#include "device/checksum.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace distri::device {
namespace {

constexpr size_t kLanes = 8;
constexpr size_t kLine = kLanes * sizeof(uint64_t);
constexpr size_t kChunk = size_t{1} << 20;
// Odd, with about as many ones as zeros.
constexpr uint64_t kPrime = 0x9e3779b185ebca87u;
constexpr uint64_t kHalf = 0xffffffffu;

using Line = std::array<uint64_t, kLanes>;

uint64_t Mixed(uint64_t sum, uint64_t word) {
  const uint64_t next = (sum ^ word) * kPrime;
  return next << 29 | next >> 35;
}

// The word itself tells it from any other in its place, and the product of its halves, which are mixed with
// their place, from the same in another. All vectors know how to multiply halves.
inline void AddLine(const std::byte* data, Line& places, Line& sums) {
  Line words;
  std::memcpy(words.data(), data, kLine);
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const uint64_t mixed = words[lane] ^ places[lane];
    sums[lane] += words[lane] + (mixed & kHalf) * (mixed >> 32);
    places[lane] += kPrime;
  }
}

uint64_t ChecksumOfChunk(const std::byte* data, size_t bytes) {
  Line places;
  Line sums{};
  for (size_t lane = 0; lane < kLanes; ++lane) places[lane] = Mixed(lane, kPrime);
  const size_t whole = bytes / kLine * kLine;
  for (size_t at = 0; at < whole; at += kLine) AddLine(data + at, places, sums);
  std::array<std::byte, kLine> rest{};
  std::memcpy(rest.data(), data + whole, bytes - whole);
  AddLine(rest.data(), places, sums);
  uint64_t sum = bytes;
  for (const uint64_t each : sums) sum = Mixed(sum, each);
  return sum;
}

}  // namespace

uint64_t Checksum(const std::byte* data, size_t bytes, cpu::Pool& pool) {
  std::vector<uint64_t> chunks((bytes + kChunk - 1) / kChunk);
  pool.Run(static_cast<int64_t>(chunks.size()), [&](int64_t index) {
    const size_t begin = static_cast<size_t>(index) * kChunk;
    chunks[static_cast<size_t>(index)] = ChecksumOfChunk(data + begin, std::min(kChunk, bytes - begin));
  });
  uint64_t sum = bytes;
  for (const uint64_t chunk : chunks) sum = Mixed(sum, chunk);
  return sum;
}

}  // namespace distri::device
