// The inner loops of products, which every instruction set has of its own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/strided.h"

namespace distri::device::cpu {

// Packed weights are panels of features, which are steps of `kStep` elements of the inner dimension, padded
// with zeros. Of float32 a step has for each element the weights of all lanes, of bfloat16 for each pair of
// elements pairs of weights of all lanes.
constexpr int64_t kStep = 32;
// What is multiplied with one call at most: parts, and steps of a part.
constexpr int64_t kMaxParts = 9;
constexpr int64_t kMaxSteps = 20;
// The same on AMX where there is one part: sums that wait between two calls cost more than x from the
// second-level cache does.
constexpr int64_t kMaxStepsOnTiles = 64;
constexpr int64_t kMaxTile = 32;
constexpr int64_t kMaxLanes = 64;

class ResultWriter;

// Positions whose elements of x lie at constant distances.
struct Stretch {
  const std::byte* x;
  int64_t count;
};

// Elements of a segment's inner dimension: `offset` elements from where a position's x lies, and the weights
// for them one step after the other.
struct Part {
  int64_t offset;
  int64_t inner;
};

// What is multiplied at a time of the sums of a panel's results.
struct Chunk {
  const Part* parts;
  int64_t count;
  // Of all parts.
  int64_t steps;
  const std::byte* packed;
  // Sums begin with zero, otherwise with what is there.
  bool first;
  // Lanes from here on are of no interest.
  int64_t width;
};

// Positions that are multiplied at a time: stretches one after the other, with elements of x `stride` bytes
// apart.
struct Tile {
  const Stretch* stretches;
  int64_t count;
  int64_t stride;
};

// What can be done while a tile is multiplied on AMX, and need not: that leaves a processor time.
struct Meanwhile {
  // Some of its rows are written; may be null.
  ResultWriter* writer = nullptr;
  // Weights that are needed before long, in lines.
  const std::byte* packed = nullptr;
  int64_t lines = 0;
};

struct ProductKernel {
  // Features of a panel.
  int64_t lanes;
  // Positions of a tile at most.
  int64_t positions;
  // Whether it runs on AMX: a tile may be of several stretches, and there is time for other things meanwhile.
  bool on_tiles;
  // sums[position][lane] += x * packed. Sums of a tile that is not full may have any value beyond its
  // positions.
  void (*multiply)(const Tile& tile, const Chunk& chunk, float* sums, const Meanwhile& meanwhile);
  // What a thread does before and after; may be null.
  void (*begin)();
  void (*end)();
};

// For products of this type.
const ProductKernel& KernelFor(Type type);

// Those of float32, and those of bfloat16 that take two instructions a pair.
const ProductKernel& Float32Kernel();
const ProductKernel& WideningKernel();
#if defined(DISTRI_HAS_BF16)
const ProductKernel& Bf16Kernel();
#endif
#if defined(DISTRI_HAS_AMX)
const ProductKernel& AmxKernel();
#endif

}  // namespace distri::device::cpu
