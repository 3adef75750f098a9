// In which order a product's terms are summed: packed weights lie in it, and kernels walk through it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "device/cpu/product.h"
#include "device/cpu/product_kernel.h"

namespace distri::device::cpu {

// It is taken in passes, between which sums wait: a block of the inner dimension in one segment after the
// other. On AMX the places in a row of a convolution's kernel share all but a column of x, which a block
// leaves in the first-level cache, while a panel's weights for a pass stay in the second-level cache until
// all tiles have passed; of a linear layer a tile's x stays in the first while one panel after the other
// passes.
//
// All follows from the shape of the weights, nothing from positions. Of one segment packed weights lie in the
// same order however long passes are, and on AMX sums are the same as well: `most_steps` is for it to say.
class SumOrder {
 public:
  SumOrder(const WeightShape& shape, int64_t lanes, int64_t most_steps = kMaxSteps)
      : segments_(shape.segments),
        inner_(shape.inner),
        steps_((shape.inner + kStep - 1) / kStep),
        step_bytes_(kStep * lanes * static_cast<int64_t>(ItemBytes(shape.type))),
        together_(shape.segments <= kMaxParts ? shape.segments : 1) {
    const int64_t fitting = kPassBytes / (std::max<int64_t>(together_, 1) * step_bytes_);
    const int64_t longest = std::clamp<int64_t>(fitting, 1, together_ > 1 ? kMaxSteps : most_steps);
    blocks_ = (steps_ + longest - 1) / longest;
    passes_ = together_ == 0 ? 0 : blocks_ * (segments_ / together_);
  }

  // Whether all sums are taken with one pass over the panel.
  bool OnePass() const { return passes_ <= 1; }
  // The most elements of x that a position has in a block and segment.
  int64_t BlockInner() const { return blocks_ == 0 ? 0 : (steps_ + blocks_ - 1) / blocks_ * kStep; }
  int64_t PanelBytes() const { return segments_ * steps_ * step_bytes_; }
  int64_t StepBytes() const { return step_bytes_; }

  // A pass: parts of segments, with weights from step `first_step` of a panel on.
  struct Pass {
    std::array<Part, kMaxParts> parts;
    // Those of parts, whose offsets are of inner elements alone.
    std::array<int64_t, kMaxParts> segments;
    int64_t count = 0;
    int64_t first_step = 0;
    int64_t steps = 0;
    bool first = true;
    bool last = false;
  };

  // Calls with all passes in order; there is one even if there are no terms.
  template <class Function>
  void ForEachPass(const Function& function) const {
    Pass pass;
    for (int64_t index = 0; index == 0 || index < passes_; ++index) {
      pass.count = 0;
      pass.first_step += pass.steps;
      pass.steps = 0;
      pass.first = index == 0;
      pass.last = index + 1 >= passes_;
      if (passes_ > 0) AddParts(index, pass);
      function(static_cast<const Pass&>(pass));
    }
  }

 private:
  static constexpr int64_t kPassBytes = 384 << 10;

  void AddParts(int64_t index, Pass& pass) const {
    const int64_t groups = segments_ / together_;
    const int64_t begin = steps_ * (index / groups) / blocks_;
    const int64_t end = steps_ * (index / groups + 1) / blocks_;
    const int64_t first = index % groups * together_;
    for (int64_t segment = first; segment < first + together_; ++segment) {
      const auto part = static_cast<size_t>(pass.count++);
      pass.parts[part] = {begin * kStep, std::min(end * kStep, inner_) - begin * kStep};
      pass.segments[part] = segment;
      pass.steps += end - begin;
    }
  }

  int64_t segments_;
  int64_t inner_;
  int64_t steps_;
  int64_t step_bytes_;
  // Segments of a pass.
  int64_t together_;
  int64_t blocks_ = 0;
  int64_t passes_ = 0;
};

}  // namespace distri::device::cpu
