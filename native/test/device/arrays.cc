#include "test/device/arrays.h"

#include <cmath>
#include <cstring>
#include <numeric>
#include <string>

#include "test/harness.h"

namespace distri::test {
namespace {

using device::ItemBytes;
using device::Type;

// Elements before the first and behind the last.
constexpr int64_t kGuard = 64;

uint64_t Poison(Type type) {
  if (type == Type::kBFloat16) return 0x7fed;
  if (type == Type::kFloat32) return 0x7fedcafe;
  return 0x7fffffffdeadbeef;
}

uint16_t RoundToBFloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rest = bits & 0xffff;
  uint32_t upper = bits >> 16;
  if (rest > 0x8000 || (rest == 0x8000 && (upper & 1) == 1)) ++upper;
  return static_cast<uint16_t>(upper);
}

float FromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace

double Rounded(Type type, double value) {
  if (type == Type::kInt64) return std::trunc(value);
  const auto narrow = static_cast<float>(value);
  if (type == Type::kFloat32) return narrow;
  return FromBits(static_cast<uint32_t>(RoundToBFloat16(narrow)) << 16);
}

TestArray::TestArray(Type type, std::vector<int64_t> shape, int64_t padding, std::vector<int> order) {
  view_.type = type;
  view_.rank = static_cast<int>(shape.size());
  if (order.empty()) {
    order.resize(shape.size());
    std::iota(order.begin(), order.end(), 0);
  }
  int64_t stride = 1;
  for (size_t i = order.size(); i-- > 0;) {
    const auto d = static_cast<size_t>(order[i]);
    view_.shape[d] = shape[d];
    view_.strides[d] = stride;
    stride *= shape[d] + (shape[d] > 1 ? padding : 0);
    size_ *= shape[d];
  }
  memory_.resize(static_cast<size_t>(stride + 2 * kGuard) * ItemBytes(type));
  view_.data = memory_.data() + static_cast<size_t>(kGuard) * ItemBytes(type);
  for (int64_t offset = -kGuard; offset < stride + kGuard; ++offset) SetBits(offset, Poison(type));
}

int64_t TestArray::Offset(int64_t index) const {
  int64_t offset = 0;
  for (int d = view_.rank - 1; d >= 0; --d) {
    const auto i = static_cast<size_t>(d);
    offset += index % view_.shape[i] * view_.strides[i];
    index /= view_.shape[i];
  }
  return offset;
}

uint64_t TestArray::Bits(int64_t offset) const {
  uint64_t bits = 0;
  const size_t bytes = ItemBytes(view_.type);
  std::memcpy(&bits, view_.data + offset * static_cast<int64_t>(bytes), bytes);
  return bits;
}

void TestArray::SetBits(int64_t offset, uint64_t bits) {
  const size_t bytes = ItemBytes(view_.type);
  std::memcpy(view_.data + offset * static_cast<int64_t>(bytes), &bits, bytes);
}

double TestArray::Get(int64_t index) const {
  const uint64_t bits = Bits(Offset(index));
  if (view_.type == Type::kInt64) return static_cast<double>(static_cast<int64_t>(bits));
  return FromBits(static_cast<uint32_t>(view_.type == Type::kBFloat16 ? bits << 16 : bits));
}

void TestArray::Set(int64_t index, double value) {
  const auto narrow = static_cast<float>(value);
  uint32_t bits;
  std::memcpy(&bits, &narrow, sizeof bits);
  if (view_.type == Type::kInt64)
    return SetBits(Offset(index), static_cast<uint64_t>(static_cast<int64_t>(value)));
  SetBits(Offset(index), view_.type == Type::kFloat32 ? bits : RoundToBFloat16(narrow));
}

void TestArray::Fill(const std::function<double()>& next) {
  for (int64_t i = 0; i < size_; ++i) Set(i, next());
}

void TestArray::FillNormal(Random& random, double scale) {
  std::normal_distribution<double> normal(0, scale);
  Fill([&] { return normal(random); });
}

bool TestArray::SameBits(const TestArray& other) const {
  for (int64_t i = 0; i < size_; ++i) {
    if (Bits(Offset(i)) != other.Bits(other.Offset(i))) return false;
  }
  return true;
}

void TestArray::CheckSurroundings() const {
  const auto items = static_cast<int64_t>(memory_.size() / ItemBytes(view_.type));
  std::vector<bool> element(static_cast<size_t>(items));
  for (int64_t i = 0; i < size_; ++i) element[static_cast<size_t>(kGuard + Offset(i))] = true;
  for (int64_t i = 0; i < items; ++i) {
    if (element[static_cast<size_t>(i)]) continue;
    Check(Bits(i - kGuard) == Poison(view_.type), "element " + std::to_string(i - kGuard) + " was written");
  }
}

void CheckClose(double value, double expected, Type type, double absolute, double relative,
                const char* what) {
  // The exact number may lie next to the middle between two numbers of the type.
  const double rounding = type == Type::kBFloat16 ? 4e-3 : type == Type::kFloat32 ? 1.2e-7 : 0;
  const double allowed = absolute + (relative + rounding) * std::abs(expected);
  Check(std::abs(value - expected) <= allowed, std::string(what) + ": expected " + std::to_string(expected) +
                                                   " but received " + std::to_string(value));
}

}  // namespace distri::test
