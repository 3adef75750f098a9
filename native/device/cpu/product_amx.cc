// Products of bfloat16 on AMX's tiles.
#if defined(DISTRI_HAS_AMX)

#include <algorithm>
#include <cstring>
#include <memory>

#include "device/cpu/product_division.h"
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

// x of the positions of a tile for a part: where it lies, or copied, a tile after the other.
struct Rows {
  const std::byte* x;
  int64_t stride;
  int64_t step_bytes;
};

struct Scratch {
  alignas(64) std::byte copies[2][kMaxStepsOnTiles * kTileRows * kRowBytes];
};

Scratch& ThreadScratch() {
  thread_local const std::unique_ptr<Scratch> scratch = std::make_unique<Scratch>();
  return *scratch;
}

// One position's row of each step's tile, zeros beyond the elements that there are.
void CopyPosition(const std::byte* x, const Part& part, std::byte* row) {
  const std::byte* from = x + part.offset * kItem;
  int64_t left = part.inner * kItem;
  for (; left >= kRowBytes; left -= kRowBytes, from += kRowBytes, row += kTileRows * kRowBytes)
    std::memcpy(row, from, kRowBytes);
  if (left == 0) return;
  std::memset(row, 0, kRowBytes);
  std::memcpy(row, from, static_cast<size_t>(left));
}

// The positions of a tile from `first` on. Of those beyond the last results are not looked at.
Rows FindRows(const Tile& tile, int64_t first, const Part& part, std::byte* copies) {
  const Stretch* stretch = tile.stretches;
  const Stretch* const end = stretch + tile.count;
  while (first >= stretch->count) first -= stretch++->count;
  if (part.inner % kStep == 0 && first + kTileRows <= stretch->count)
    return {stretch->x + first * tile.stride + part.offset * kItem, tile.stride, kRowBytes};
  for (int64_t row = 0; row < kTileRows && stretch != end; ++row) {
    CopyPosition(stretch->x + first * tile.stride, part, copies + row * kRowBytes);
    if (++first == stretch->count) {
      ++stretch;
      first = 0;
    }
  }
  return {copies, kRowBytes, kTileRows * kRowBytes};
}

// Does what there is to do meanwhile, some of it with every step of a chunk.
class Background {
 public:
  Background(const Meanwhile& meanwhile, const Chunk& chunk)
      : writer_(meanwhile.writer),
        line_(meanwhile.packed),
        end_(meanwhile.packed + meanwhile.lines * kLine),
        lines_a_step_(CeilDiv(meanwhile.lines, std::max<int64_t>(chunk.steps, 1))),
        interval_(std::max<int64_t>(chunk.steps * kRowsAtOnce / kMaxTile, 1)) {}

  DISTRI_INLINE void Step() {
    if (writer_ && --until_rows_ < 0) {
      writer_->Advance(kRowsAtOnce);
      until_rows_ = interval_ - 1;
    }
    for (int64_t i = 0; i < lines_a_step_ && line_ < end_; ++i, line_ += kLine) Prefetch(line_);
  }

 private:
  static constexpr int64_t kLine = 64;
  // Fewer would cost more to begin with than to write.
  static constexpr int64_t kRowsAtOnce = 8;

  static DISTRI_INLINE void Prefetch(const std::byte* line) {
    constexpr int kRead = 0;
    constexpr int kSecondLevel = 2;
    __builtin_prefetch(line, kRead, kSecondLevel);
  }

  ResultWriter* writer_;
  const std::byte* line_;
  const std::byte* end_;
  int64_t lines_a_step_;
  int64_t interval_;
  int64_t until_rows_ = 0;
};

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
void MultiplyHalves(const Tile& tile, const Chunk& chunk, float* sums, const Meanwhile& meanwhile) {
  Scratch& scratch = ThreadScratch();
  Background background(meanwhile, chunk);
  BeginSums<Halves>(sums, chunk.first);
  const std::byte* packed = chunk.packed;
  for (const Part* part = chunk.parts; part != chunk.parts + chunk.count; ++part) {
    Rows upper = FindRows(tile, 0, *part, scratch.copies[0]);
    Rows lower = Halves == 2 ? FindRows(tile, kTileRows, *part, scratch.copies[1]) : upper;
    for (int64_t inner = 0; inner < part->inner; inner += kStep) {
      background.Step();
      LoadPassingTile<6>(packed, kPackedRow);
      LoadTile<4>(upper.x, upper.stride);
      MultiplyTiles<0, 4, 6>();
      LoadPassingTile<7>(packed + kRowBytes, kPackedRow);
      MultiplyTiles<1, 4, 7>();
      if constexpr (Halves == 2) {
        LoadTile<5>(lower.x, lower.stride);
        MultiplyTiles<2, 5, 6>();
        MultiplyTiles<3, 5, 7>();
        lower.x += lower.step_bytes;
      }
      upper.x += upper.step_bytes;
      packed += kStepBytes;
    }
  }
  EndSums<Halves>(sums);
}

void Multiply(const Tile& tile, const Chunk& chunk, float* sums, const Meanwhile& meanwhile) {
  int64_t positions = 0;
  for (int64_t i = 0; i < tile.count; ++i) positions += tile.stretches[i].count;
  (positions <= kTileRows ? MultiplyHalves<1> : MultiplyHalves<2>)(tile, chunk, sums, meanwhile);
}

}  // namespace

const ProductKernel& AmxKernel() {
  static constexpr ProductKernel kKernel{kLanes, 2 * kTileRows, true, Multiply, ConfigureTiles, ReleaseTiles};
  return kKernel;
}

}  // namespace distri::device::cpu

#endif
