// Sums that are the same to the bit in whatever order and groups they are taken.
#pragma once

#include <cstdint>

#include "device/cpu/norms.h"

namespace distri::device::cpu {

// Sums of rows as whole multiples of a tiny unit: adding integers is associative. Ranks exchange them as they are.
struct ExactSums {
  __int128 sum = 0;
  __int128 squares = 0;
  int64_t count = 0;
  // 0, or no number once a sum was none, or too large.
  double lost = 0;

  // One row of `elements`.
  void Add(const Sums& row, int64_t elements);
  void Add(const ExactSums& other);

  double Mean() const;
  double MeanSquare() const;
  double Variance() const { return MeanSquare() - Mean() * Mean(); }
};

static_assert(sizeof(ExactSums) == 48, "src/engine/lowered/command.ts says how large they are");

}  // namespace distri::device::cpu
