// The positions of a product, and where their operands lie.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "device/cpu/product.h"

namespace distri::device::cpu {

enum Operand : size_t { kX, kResidual, kResult, kShift, kGate, kOperands };
// In elements, for each operand.
using Offsets = std::array<int64_t, kOperands>;

// Images, rows and columns, one within the other as far as all operands allow: the fewer rows there are, the
// longer are the stretches that a kernel finds.
class Grid {
 public:
  explicit Grid(const Product& product) {
    const Positions& positions = product.positions;
    const auto strides = [&](int64_t PositionedArray::*stride, int64_t shift, int64_t gate) -> Offsets {
      const bool residual = product.residual.data != nullptr;
      return {product.x.*stride, residual ? product.residual.*stride : 0, product.result.*stride, shift,
              gate};
    };
    Add(positions.images, strides(&PositionedArray::image_stride, product.shift ? product.shift_stride : 0,
                                  product.gate ? product.gate_stride : 0));
    Add(positions.rows, strides(&PositionedArray::row_stride, 0, 0));
    Add(positions.columns, strides(&PositionedArray::column_stride, 0, 0));
  }

  int64_t Count() const { return At(0).count * At(1).count * At(2).count; }
  int64_t ColumnStride(Operand operand) const { return At(2).strides[operand]; }

 private:
  friend class Cursor;

  struct Dimension {
    int64_t count = 1;
    Offsets strides{};
  };

  const Dimension& At(size_t dimension) const { return dimensions_[dimension]; }

  // One more dimension within those that there are.
  void Add(int64_t count, const Offsets& strides) {
    if (count == 1) return;
    Dimension& last = dimensions_[2];
    if (last.count == 1 || Continues(last, count, strides)) {
      last = {last.count * count, strides};
      return;
    }
    dimensions_[0] = dimensions_[1];
    dimensions_[1] = last;
    last = {count, strides};
  }

  static bool Continues(const Dimension& outer, int64_t count, const Offsets& strides) {
    for (size_t operand = 0; operand < kOperands; ++operand)
      if (outer.strides[operand] != count * strides[operand]) return false;
    return true;
  }

  std::array<Dimension, 3> dimensions_;
};

// Positions of one row, the offsets being those of the first.
struct Span {
  int64_t count;
  Offsets offsets;
};

// Goes through positions in order.
class Cursor {
 public:
  Cursor(const Grid& grid, int64_t position) : grid_(&grid) {
    for (size_t dimension = 3; dimension-- > 0;) {
      at_[dimension] = position % grid.At(dimension).count;
      position /= grid.At(dimension).count;
    }
  }

  int64_t LeftInRow() const { return grid_->At(2).count - at_[2]; }

  // The next positions of the row, at most `limit`. Each number is written once and where it stays: a copy in
  // larger pieces would wait until all stores before it are done, those of results included.
  void Next(int64_t limit, Span& span) {
    span.count = std::min(limit, LeftInRow());
    for (size_t operand = 0; operand < kOperands; ++operand) {
      span.offsets[operand] = at_[0] * grid_->At(0).strides[operand] +
                              at_[1] * grid_->At(1).strides[operand] + at_[2] * grid_->At(2).strides[operand];
    }
    Advance(span.count);
  }

 private:
  void Advance(int64_t count) {
    at_[2] += count;
    for (size_t dimension = 2; dimension > 0 && at_[dimension] == grid_->At(dimension).count; --dimension) {
      at_[dimension] = 0;
      ++at_[dimension - 1];
    }
  }

  const Grid* grid_;
  std::array<int64_t, 3> at_;
};

}  // namespace distri::device::cpu
