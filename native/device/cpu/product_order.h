// In which order a product's terms are summed: packed weights lie in it, and kernels walk through it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "device/cpu/product.h"
#include "device/cpu/product_kernel.h"

namespace distri::device::cpu {

// The inner dimension falls into blocks: as much of a panel of weights as stays in the second-level cache
// with the x that it is multiplied by. Within a block go rows of the kernel, then parts of a block, then the
// places of a row: these find all but a column of x where the one before has brought it into the first-level
// cache.
//
// All follows from the shape of the weights and the lanes of a panel, nothing from positions.
class SumOrder {
 public:
  SumOrder(const WeightShape& shape, int64_t lanes)
      : segments_(shape.segments),
        inner_(shape.inner),
        steps_((shape.inner + kStep - 1) / kStep),
        step_bytes_(kStep * lanes * static_cast<int64_t>(ItemBytes(shape.type))),
        row_(shape.segments % 3 == 0 ? 3 : 1) {
    const int64_t longest =
        std::clamp(kBlockBytes / (std::max<int64_t>(segments_, 1) * step_bytes_), int64_t{1}, kBlockSteps);
    blocks_ = std::max<int64_t>((steps_ + longest - 1) / longest, 1);
  }

  // Whether all sums are taken with one pass over the panel.
  bool OnePass() const { return blocks_ == 1 && segments_ * PartsOf(steps_) <= kMaxParts; }
  // The most elements of x that a position has in a block and segment.
  int64_t BlockInner() const { return (steps_ + blocks_ - 1) / blocks_ * kStep; }
  int64_t PanelBytes() const { return segments_ * steps_ * step_bytes_; }
  int64_t StepBytes() const { return step_bytes_; }

  // Consecutive parts of a panel: with weights from step `step` on.
  struct Pieces {
    std::array<Part, kMaxParts> parts;
    // The segments of parts; their offsets are of inner elements alone.
    std::array<int64_t, kMaxParts> segments;
    int64_t count = 0;
    int64_t step = 0;
    bool first = true;
    bool last = false;
  };

  // Calls with all pieces in order; even of no terms there are some.
  template <class Function>
  void ForEachPieces(const Function& function) const {
    Pieces pieces;
    int64_t step = 0;
    const auto pass = [&] {
      function(static_cast<const Pieces&>(pieces));
      pieces.count = 0;
      pieces.first = false;
      pieces.step = step;
    };
    for (int64_t block = 0; block < blocks_; ++block) {
      ForEachPart(block, [&](int64_t segment, int64_t first, int64_t end) {
        if (pieces.count == kMaxParts) pass();
        const auto index = static_cast<size_t>(pieces.count++);
        pieces.parts[index] = {first * kStep, std::min(end * kStep, inner_) - first * kStep};
        pieces.segments[index] = segment;
        step += end - first;
      });
      pieces.last = block + 1 == blocks_;
      pass();
    }
  }

 private:
  static constexpr int64_t kBlockBytes = 256 << 10;
  static constexpr int64_t kBlockSteps = 40;
  static constexpr int64_t kPieceSteps = 5;

  // Of as many steps of a segment.
  int64_t PartsOf(int64_t steps) const { return row_ == 1 ? 1 : (steps + kPieceSteps - 1) / kPieceSteps; }

  // Calls with segment and steps.
  template <class Function>
  void ForEachPart(int64_t block, const Function& function) const {
    const int64_t begin = steps_ * block / blocks_;
    const int64_t end = steps_ * (block + 1) / blocks_;
    const int64_t parts = PartsOf(end - begin);
    for (int64_t row = 0; row < segments_; row += row_) {
      for (int64_t part = 0; part < parts; ++part) {
        const int64_t first = begin + (end - begin) * part / parts;
        const int64_t last = begin + (end - begin) * (part + 1) / parts;
        for (int64_t segment = row; first < last && segment < row + row_; ++segment)
          function(segment, first, last);
      }
    }
  }

  int64_t segments_;
  int64_t inner_;
  int64_t steps_;
  int64_t step_bytes_;
  // Segments of a row of the kernel.
  int64_t row_;
  int64_t blocks_;
};

}  // namespace distri::device::cpu
