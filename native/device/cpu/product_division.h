// How a product is divided into tasks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "device/cpu/product_kernel.h"

namespace distri::device::cpu {

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Share {
  int64_t begin;
  int64_t end;
};

// Part `index` of `count` things divided into parts of about equal size.
inline Share ShareOf(int64_t count, int64_t parts, int64_t index) {
  return {count * index / parts, count * (index + 1) / parts};
}

// What a division has to know of a product.
struct DivisionInput {
  int64_t positions;
  int64_t panels;
  // Of x, without what its segments share.
  int64_t position_bytes;
  int64_t panel_bytes;
  // Of positions and panels, in a task; for how many both there is room.
  int64_t most_positions;
  int64_t most_pairs;
  // Steps of the inner dimension in all segments.
  int64_t steps;
};

// Blocks of positions times groups of panels.
class Division {
 public:
  // Tiles are of this many positions where they can be.
  static constexpr int64_t kUnit = kMaxTile;

  explicit Division(const DivisionInput& input)
      : units_(CeilDiv(input.positions, kUnit)), panels_(input.panels) {
    const int64_t most_units = std::max<int64_t>(input.most_positions / kUnit, 1);
    const int64_t fewest_blocks = CeilDiv(units_, most_units);
    double least = std::numeric_limits<double>::infinity();
    for (int64_t blocks = fewest_blocks; blocks <= std::min(units_, 2 * fewest_blocks + 4); ++blocks) {
      const int64_t most_panels = std::max<int64_t>(input.most_pairs / (CeilDiv(units_, blocks) * kUnit), 1);
      const int64_t fewest_groups = CeilDiv(panels_, most_panels);
      for (int64_t groups = fewest_groups; groups <= std::min(panels_, fewest_groups + 16); ++groups) {
        const double cost = Cost(input, blocks, groups);
        if (cost >= least) continue;
        least = cost;
        blocks_ = blocks;
        groups_ = groups;
      }
    }
  }

  int64_t Tasks() const { return blocks_ * groups_; }

  // Blocks of positions follow each other, so that weights are read from memory once.
  Share UnitsOf(int64_t task) const { return ShareOf(units_, blocks_, task % blocks_); }
  Share PanelsOf(int64_t task) const { return ShareOf(panels_, groups_, task / blocks_); }

 private:
  // About the cycles that one, two and four threads take on AMX, where memory is hardest to keep up with:
  // large tasks read least, and small ones keep all threads busy until the end.
  double Cost(const DivisionInput& input, int64_t blocks, int64_t groups) const {
    constexpr double kStepCycles = 64;
    constexpr double kBytesACycle = 8;
    constexpr double kTaskCycles = 3000;
    const auto units = static_cast<double>(CeilDiv(units_, blocks));
    const auto panels = static_cast<double>(CeilDiv(panels_, groups));
    const double bytes = units * kUnit * static_cast<double>(input.position_bytes) +
                         panels * static_cast<double>(input.panel_bytes);
    const double cycles =
        units * panels * static_cast<double>(input.steps) * kStepCycles + bytes / kBytesACycle + kTaskCycles;
    double cost = 0;
    for (const int64_t threads : {1, 2, 4})
      cost += static_cast<double>(CeilDiv(blocks * groups, threads) * threads) * cycles;
    return cost;
  }

  int64_t units_;
  int64_t panels_;
  int64_t blocks_ = 1;
  int64_t groups_ = 1;
};

}  // namespace distri::device::cpu
