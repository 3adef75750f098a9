// Products of bfloat16 on AMX's tiles.
#if defined(DISTRI_HAS_AMX)

#include <algorithm>
#include <cstring>
#include <memory>

#include "device/cpu/product_kernel.h"
#include "device/cpu/product_results.h"
#include "device/cpu/tiles.h"

namespace distri::device::cpu {
namespace {

// A tile of x has this many positions and a step's elements, in 64 bytes a row. A tile of weights has pairs
// of a step's elements for half of the lanes of a panel.
constexpr int64_t kTileRows = 16;
constexpr int64_t kRowBytes = 64;
constexpr int64_t kLanes = 32;
constexpr int64_t kPackedRow = 2 * kRowBytes;
constexpr int64_t kStepBytes = kTileRows * kPackedRow;
constexpr int64_t kItem = 2;
constexpr int64_t kMaxSteps = 128;

// x of the positions of a tile for a chunk: where it lies, or copied.
struct Rows {
  const std::byte* x = nullptr;
  int64_t stride = 0;
  // Copies have a tile after the other.
  bool copied = false;

  const std::byte* Begin(const Part& part, int64_t steps_before) const {
    return x + (copied ? steps_before * kTileRows * kRowBytes : part.offset * kItem);
  }
  int64_t StepBytes() const { return copied ? kTileRows * kRowBytes : kRowBytes; }
};

struct Scratch {
  alignas(64) std::byte copies[2][kMaxSteps * kTileRows * kRowBytes];
};

Scratch& ThreadScratch() {
  thread_local const std::unique_ptr<Scratch> scratch = std::make_unique<Scratch>();
  return *scratch;
}

// One position's row of each step's tile, zeros beyond the elements that there are.
void CopyPosition(const std::byte* x, const Chunk& chunk, std::byte* row) {
  for (int64_t i = 0; i < chunk.count; ++i) {
    const Part& part = chunk.parts[i];
    const std::byte* from = x + part.offset * kItem;
    int64_t left = part.inner * kItem;
    for (; left >= kRowBytes; left -= kRowBytes, from += kRowBytes, row += kTileRows * kRowBytes)
      std::memcpy(row, from, kRowBytes);
    if (left == 0) continue;
    std::memset(row, 0, kRowBytes);
    std::memcpy(row, from, static_cast<size_t>(left));
    row += kTileRows * kRowBytes;
  }
}

bool HasWholeSteps(const Chunk& chunk) {
  return std::all_of(chunk.parts, chunk.parts + chunk.count,
                     [](const Part& part) { return part.inner % kStep == 0; });
}

// The positions from `first` on. Those beyond the last are left as they are, their results are not looked at.
Rows FindRows(const Tile& tile, const Chunk& chunk, bool whole_steps, int64_t first, std::byte* copies) {
  const Stretch* stretch = tile.stretches;
  const Stretch* const end = stretch + tile.count;
  while (first >= stretch->count) first -= stretch++->count;
  if (whole_steps && first + kTileRows <= stretch->count)
    return {stretch->x + first * tile.stride, tile.stride, false};
  for (int64_t row = 0; row < kTileRows && stretch != end; ++row) {
    CopyPosition(stretch->x + first * tile.stride, chunk, copies + row * kRowBytes);
    if (++first == stretch->count) {
      ++stretch;
      first = 0;
    }
  }
  return {copies, kRowBytes, true};
}

// Of the tile before: as many as are done when this one is.
int64_t RowsAStep(const Chunk& chunk) {
  int64_t steps = 0;
  for (int64_t i = 0; i < chunk.count; ++i) steps += (chunk.parts[i].inner + kStep - 1) / kStep;
  return (kMaxTile + steps - 1) / std::max<int64_t>(steps, 1);
}

// Tiles 0 to 3 are sums: of two tiles of positions, 4 and 5, and two of lanes, 6 and 7.
template <int Halves>
DISTRI_INLINE void BeginSums(const float* sums, bool first) {
  if (first) {
    ZeroTile<0>();
    ZeroTile<1>();
    if constexpr (Halves == 2) {
      ZeroTile<2>();
      ZeroTile<3>();
    }
    return;
  }
  LoadTile<0>(sums, kPackedRow);
  LoadTile<1>(sums + kLanes / 2, kPackedRow);
  if constexpr (Halves == 2) {
    LoadTile<2>(sums + kTileRows * kLanes, kPackedRow);
    LoadTile<3>(sums + kTileRows * kLanes + kLanes / 2, kPackedRow);
  }
}

template <int Halves>
DISTRI_INLINE void EndSums(float* sums) {
  StoreTile<0>(sums, kPackedRow);
  StoreTile<1>(sums + kLanes / 2, kPackedRow);
  if constexpr (Halves == 2) {
    StoreTile<2>(sums + kTileRows * kLanes, kPackedRow);
    StoreTile<3>(sums + kTileRows * kLanes + kLanes / 2, kPackedRow);
  }
}

template <int Halves>
void MultiplyRows(const Rows* rows, const Chunk& chunk, float* sums, ResultWriter* behind) {
  BeginSums<Halves>(sums, chunk.first);
  const std::byte* packed = chunk.packed;
  int64_t steps_before = 0;
  const int64_t rows_a_step = RowsAStep(chunk);
  const int64_t advance0 = rows[0].StepBytes();
  const int64_t advance1 = rows[Halves - 1].StepBytes();
  for (int64_t i = 0; i < chunk.count; ++i) {
    const Part& part = chunk.parts[i];
    const int64_t steps = (part.inner + kStep - 1) / kStep;
    const std::byte* x0 = rows[0].Begin(part, steps_before);
    const std::byte* x1 = rows[Halves - 1].Begin(part, steps_before);
    for (int64_t step = 0; step < steps; ++step) {
      LoadTile<6>(packed, kPackedRow);
      LoadTile<4>(x0, rows[0].stride);
      MultiplyTiles<0, 4, 6>();
      LoadTile<7>(packed + kRowBytes, kPackedRow);
      MultiplyTiles<1, 4, 7>();
      if constexpr (Halves == 2) {
        LoadTile<5>(x1, rows[1].stride);
        MultiplyTiles<2, 5, 6>();
        MultiplyTiles<3, 5, 7>();
      }
      x0 += advance0;
      x1 += advance1;
      packed += kStepBytes;
      if (behind) behind->Advance(rows_a_step);
    }
    steps_before += steps;
  }
  EndSums<Halves>(sums);
}

void Multiply(const Tile& tile, const Chunk& chunk, float* sums, ResultWriter* behind) {
  Scratch& scratch = ThreadScratch();
  const bool whole_steps = HasWholeSteps(chunk);
  int64_t positions = 0;
  for (int64_t i = 0; i < tile.count; ++i) positions += tile.stretches[i].count;
  Rows rows[2] = {FindRows(tile, chunk, whole_steps, 0, scratch.copies[0])};
  if (positions <= kTileRows) {
    MultiplyRows<1>(rows, chunk, sums, behind);
    return;
  }
  rows[1] = FindRows(tile, chunk, whole_steps, kTileRows, scratch.copies[1]);
  MultiplyRows<2>(rows, chunk, sums, behind);
}

}  // namespace

const ProductKernel& AmxKernel() {
  static constexpr ProductKernel kKernel{kLanes, 2 * kTileRows, true, Multiply, ConfigureTiles, ReleaseTiles};
  return kKernel;
}

}  // namespace distri::device::cpu

#endif
