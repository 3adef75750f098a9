// Strided arrays for tests, in memory whose other elements are poisoned.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "device/strided.h"

namespace distri::test {

using Random = std::mt19937;

inline int64_t Between(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

// An array whose elements are poison until they are set.
class TestArray {
 public:
  // With each dimension's stride larger than it needs to be by up to `padding` of the dimension within, and
  // dimensions in this order from the outermost in memory (all of them, or none for that of the shape).
  TestArray(device::Type type, std::vector<int64_t> shape, int64_t padding = 0, std::vector<int> order = {});

  const device::Strided& view() const { return view_; }
  int64_t size() const { return size_; }

  // Elements by their number in the order of the shape.
  double Get(int64_t index) const;
  // Rounded to the type.
  void Set(int64_t index, double value);
  void Fill(const std::function<double()>& next);
  void FillNormal(Random& random, double scale = 1);
  // The same elements, wherever they lie.
  bool SameBits(const TestArray& other) const;
  // Throws unless all that is no element is poison still.
  void CheckSurroundings() const;

 private:
  int64_t Offset(int64_t index) const;
  uint64_t Bits(int64_t offset) const;
  void SetBits(int64_t offset, uint64_t bits);

  device::Strided view_;
  int64_t size_ = 1;
  std::vector<std::byte> memory_;
};

// The nearest number of this type.
double Rounded(device::Type type, double value);

// Throws unless |value - expected| is at most `absolute` + `relative` * |expected|, plus what rounding to a
// type costs.
void CheckClose(double value, double expected, device::Type type, double absolute, double relative,
                const char* what);

}  // namespace distri::test
