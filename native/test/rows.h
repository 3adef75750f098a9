// Bands of rows of images [B, C, H, W].
#pragma once

#include <vector>

#include "test/op_session.h"

namespace distri::test {

// Rows [first, first + count) of an image; zeros where it has none.
Tensor RowsOf(const Tensor& image, int64_t first, int64_t count);

// An image's rows, divided among ranks at random: 1 to 4 each.
class Bands {
 public:
  Bands(Fuzz& fuzz, int64_t ranks);

  int64_t total() const { return firsts_.back(); }
  int64_t First(int64_t rank) const { return firsts_[static_cast<size_t>(rank)]; }
  int64_t Rows(int64_t rank) const { return firsts_[static_cast<size_t>(rank) + 1] - First(rank); }
  Tensor Of(const Tensor& image, int64_t rank) const { return RowsOf(image, First(rank), Rows(rank)); }

 private:
  std::vector<int64_t> firsts_;
};

// A band [B, C, h + 2, W] without the rows of its neighbours.
Tensor Inside(const Tensor& extended);

// The first and the last row of a rank's extended band are its neighbours' last and first one, or zeros.
void CheckHalo(const Tensor& extended, int64_t rank, const std::vector<Tensor>& bands);

}  // namespace distri::test
