#include "device/cpu/walk.h"

#include <cstdlib>

namespace distri::device::cpu {
namespace {

// Whether all operands go on in `outer` where `inner` ends.
bool Continues(const Dimension& outer, const Dimension& inner) {
  for (size_t i = 0; i < outer.strides.size(); ++i) {
    if (outer.strides[i] != inner.strides[i] * inner.size) return false;
  }
  return true;
}

}  // namespace

Dimensions::Dimensions(std::initializer_list<const Strided*> operands) {
  const Strided& last = **(operands.end() - 1);
  const size_t order = operands.size() - 1;
  std::array<Dimension, kMaxRank> found{};
  size_t dimensions = 0;
  for (size_t d = 0; d < static_cast<size_t>(last.rank); ++d) {
    if (last.shape[d] == 1) continue;
    Dimension& dimension = found[dimensions++];
    dimension.size = last.shape[d];
    size_t i = 0;
    for (const Strided* operand : operands) dimension.strides[i++] = operand->strides[d];
  }
  std::stable_sort(found.begin(), found.begin() + dimensions, [&](const Dimension& a, const Dimension& b) {
    return std::abs(a.strides[order]) > std::abs(b.strides[order]);
  });
  dimensions_[0] = found[0];
  count_ = 1;
  for (size_t d = 1; d < dimensions; ++d) {
    Dimension& outer = dimensions_[static_cast<size_t>(count_ - 1)];
    if (!Continues(outer, found[d])) {
      dimensions_[static_cast<size_t>(count_++)] = found[d];
      continue;
    }
    const int64_t size = outer.size;
    outer = found[d];
    outer.size *= size;
  }
}

int64_t Dimensions::Elements() const {
  int64_t elements = 1;
  for (int d = 0; d < count_; ++d) elements *= (*this)[d].size;
  return elements;
}

Dimension Dimensions::Take(int index) {
  const Dimension taken = (*this)[index];
  std::copy(dimensions_.begin() + index + 1, dimensions_.begin() + count_, dimensions_.begin() + index);
  --count_;
  return taken;
}

std::array<int64_t, kMostOperands> Dimensions::OffsetsOf(int64_t index) const {
  std::array<int64_t, kMostOperands> offsets{};
  for (int d = count_ - 1; d >= 0; --d) {
    const Dimension& dimension = (*this)[d];
    const int64_t place = index % dimension.size;
    index /= dimension.size;
    for (size_t i = 0; i < offsets.size(); ++i) offsets[i] += place * dimension.strides[i];
  }
  return offsets;
}

int64_t OffsetOf(const Strided& array, int dimensions, int64_t index) {
  int64_t offset = 0;
  for (int d = dimensions - 1; d >= 0; --d) {
    const auto i = static_cast<size_t>(d);
    offset += index % array.shape[i] * array.strides[i];
    index /= array.shape[i];
  }
  return offset;
}

int64_t Places(const Strided& array, int dimensions) {
  int64_t places = 1;
  for (int d = 0; d < dimensions; ++d) places *= array.shape[static_cast<size_t>(d)];
  return places;
}

}  // namespace distri::device::cpu
