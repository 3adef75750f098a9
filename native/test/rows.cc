#include "test/rows.h"

#include <algorithm>

namespace distri::test {

Tensor RowsOf(const Tensor& image, int64_t first, int64_t count) {
  Tensor rows{image.shape, {}};
  rows.shape[2] = count;
  rows.floats.assign(static_cast<size_t>(Count(rows.shape)), 0.0f);
  const int64_t width = image.shape[3];
  for (int64_t plane = 0; plane < image.shape[0] * image.shape[1]; ++plane) {
    for (int64_t row = 0; row < count; ++row) {
      const int64_t from = first + row;
      if (from < 0 || from >= image.shape[2]) continue;
      const auto begin = image.floats.begin() + (plane * image.shape[2] + from) * width;
      std::copy(begin, begin + width, rows.floats.begin() + (plane * count + row) * width);
    }
  }
  return rows;
}

Bands::Bands(Fuzz& fuzz, int64_t ranks) : firsts_{0} {
  for (int64_t rank = 0; rank < ranks; ++rank) firsts_.push_back(firsts_.back() + fuzz.Int(1, 4));
}

Tensor Inside(const Tensor& extended) { return RowsOf(extended, 1, extended.shape[2] - 2); }

void CheckHalo(const Tensor& extended, int64_t rank, const std::vector<Tensor>& bands) {
  const auto row_of = [&](int64_t peer, bool last) {
    if (peer < 0 || peer >= static_cast<int64_t>(bands.size())) return RowsOf(extended, -1, 1);
    const Tensor& band = bands[static_cast<size_t>(peer)];
    return RowsOf(band, last ? band.shape[2] - 1 : 0, 1);
  };
  CheckEqual(RowsOf(extended, 0, 1), row_of(rank - 1, true).floats, "the row above");
  CheckEqual(RowsOf(extended, extended.shape[2] - 1, 1), row_of(rank + 1, false).floats, "the row below");
}

}  // namespace distri::test
