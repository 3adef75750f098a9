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
// Of xxHash's 64 bits.
constexpr uint64_t kPrime = 0x9e3779b185ebca87u;

// Every bit of what was mixed so far reaches all others after a few words.
uint64_t Mixed(uint64_t sum, uint64_t word) {
  const uint64_t next = (sum ^ word) * kPrime;
  return next << 29 | next >> 35;
}

uint64_t ChecksumOfChunk(const std::byte* data, size_t bytes) {
  std::array<uint64_t, kLanes> sums{1, 2, 3, 4, 5, 6, 7, 8};
  std::array<uint64_t, kLanes> line;
  for (size_t at = 0; at < bytes; at += kLine) {
    const size_t left = std::min(kLine, bytes - at);
    if (left < kLine) line = {};
    std::memcpy(line.data(), data + at, left);
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] = Mixed(sums[lane], line[lane]);
  }
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
