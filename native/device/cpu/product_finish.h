// What becomes of the sums of a product.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cpu/product.h"

namespace distri::device::cpu {

// How sums of a panel are finished.
struct Finish {
  Activation activation = Activation::kNone;
  int64_t lanes = 0;
  // Results of the panel.
  int64_t width = 0;
  Type residual_type = Type::kFloat32;
  Type result_type = Type::kFloat32;
  // [width] that activated sums are multiplied by, with room for all lanes; or null.
  const float* gate = nullptr;
};

// Positions at constant distances; strides in bytes. Residuals may be null.
struct FinishedRows {
  int64_t count = 0;
  const std::byte* residual = nullptr;
  int64_t residual_stride = 0;
  std::byte* result = nullptr;
  int64_t result_stride = 0;
};

// result = activation(sums + addend) * gate + residual, of sums [count][lanes], which are overwritten, and
// [lanes] that are added to each of them.
void FinishRows(const Finish& finish, const FinishedRows& rows, const float* addend, float* sums);

}  // namespace distri::device::cpu
