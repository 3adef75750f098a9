#include <algorithm>
#include <stdexcept>
#include <string>

#include "device/cpu/elementwise.h"
#include "device/cpu/rows.h"
#include "device/cpu/walk.h"

namespace distri::device::cpu {
namespace {

int64_t Integer(const Strided& array, int64_t offset) { return array.as<const int64_t>()[offset]; }

void CheckPlace(int64_t index, int64_t size, const char* what) {
  if (index >= 0 && index < size) return;
  throw std::out_of_range("expected " + std::string(what) + " from 0 to " + std::to_string(size - 1) +
                          " but received " + std::to_string(index));
}

// y = x, of `width` elements.
void CopyElements(const Strided& x, int64_t x_offset, const Strided& y, int64_t y_offset) {
  const int64_t width = x.shape[static_cast<size_t>(x.rank - 1)];
  const int64_t x_stride = x.strides[static_cast<size_t>(x.rank - 1)];
  const int64_t y_stride = y.strides[static_cast<size_t>(y.rank - 1)];
  float row[kPiece];
  for (int64_t begin = 0; begin < width; begin += kPiece) {
    const int64_t count = std::min(kPiece, width - begin);
    LoadRow(x.type, At(x, x_offset + begin * x_stride), x_stride, count, row);
    StoreRow(row, count, y.type, At(y, y_offset + begin * y_stride), y_stride);
  }
}

}  // namespace

void Gather(const Strided& table, const Strided& ids, const Strided& y, Pool& pool) {
  const int64_t places = Places(ids, ids.rank);
  const auto id = [&](int64_t place) { return Integer(ids, OffsetOf(ids, ids.rank, place)); };
  for (int64_t place = 0; place < places; ++place) CheckPlace(id(place), table.shape[0], "an id");
  pool.Run(places, [&](int64_t place) {
    CopyElements(table, id(place) * table.strides[0], y, OffsetOf(y, y.rank - 1, place));
  });
}

void PickTokens(const Strided& x, const Strided& positions, const Strided& y, Pool& pool) {
  const auto position = [&](int64_t row, size_t part) {
    return Integer(positions, row * positions.strides[0] + static_cast<int64_t>(part) * positions.strides[1]);
  };
  for (int64_t row = 0; row < y.shape[0]; ++row) {
    CheckPlace(position(row, 0), x.shape[0], "a place in the batch");
    CheckPlace(position(row, 1), x.shape[1], "a token");
  }
  pool.Run(y.shape[0], [&](int64_t row) {
    CopyElements(x, position(row, 0) * x.strides[0] + position(row, 1) * x.strides[1], y, row * y.strides[0]);
  });
}

}  // namespace distri::device::cpu
