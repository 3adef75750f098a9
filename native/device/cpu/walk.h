// Walks over the elements of arrays of equal shape, a piece of a row at a time.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "device/cpu/pool.h"
#include "device/cpu/rows.h"
#include "device/strided.h"

namespace distri::device::cpu {

constexpr int kMostOperands = 3;

// A dimension of all operands.
struct Dimension {
  int64_t size = 1;
  std::array<int64_t, kMostOperands> strides{};
};

// The dimensions of operands of the last one's shape, in the order of its strides, with those that lie next
// to each other in all operands made one: as few as can be, the innermost as long as can be.
class Dimensions {
 public:
  explicit Dimensions(std::initializer_list<const Strided*> operands);

  int count() const { return count_; }
  const Dimension& operator[](int index) const { return dimensions_[static_cast<size_t>(index)]; }
  const Dimension& Innermost() const { return (*this)[count_ - 1]; }
  int64_t Elements() const;
  // Takes one away.
  Dimension Take(int index);

  // Where element `index` of them, in order, lies in each operand.
  std::array<int64_t, kMostOperands> OffsetsOf(int64_t index) const;

 private:
  std::array<Dimension, kMaxRank> dimensions_{};
  int count_ = 0;
};

// Elements of a task: enough that threads do not meet too often.
constexpr int64_t kTaskElements = 16 * kPiece;

// Calls visit(offsets, count) for pieces of the innermost dimension, at most kPiece long, on the pool's
// threads.
template <class Visit>
void Walk(const Dimensions& dimensions, Pool& pool, const Visit& visit) {
  Dimensions rows = dimensions;
  const Dimension row = rows.Take(rows.count() - 1);
  const int64_t pieces_of_row = (row.size + kPiece - 1) / kPiece;
  const int64_t pieces = rows.Elements() * pieces_of_row;
  const int64_t pieces_of_task =
      std::max<int64_t>(1, kTaskElements / std::clamp<int64_t>(row.size, 1, kPiece));
  pool.Run((pieces + pieces_of_task - 1) / pieces_of_task, [&](int64_t task) {
    const int64_t end = std::min(pieces, (task + 1) * pieces_of_task);
    for (int64_t piece = task * pieces_of_task; piece < end; ++piece) {
      const int64_t begin = piece % pieces_of_row * kPiece;
      std::array<int64_t, kMostOperands> offsets = rows.OffsetsOf(piece / pieces_of_row);
      for (size_t i = 0; i < offsets.size(); ++i) offsets[i] += begin * row.strides[i];
      visit(offsets, std::min(kPiece, row.size - begin));
    }
  });
}

// Where place `index` of an array's first `dimensions` dimensions, in their order, begins.
int64_t OffsetOf(const Strided& array, int dimensions, int64_t index);

// How many places the first `dimensions` dimensions have.
int64_t Places(const Strided& array, int dimensions);

}  // namespace distri::device::cpu
