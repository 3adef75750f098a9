// Operands of commands: arrays in memory, seen through strides.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace distri::device {

enum class Type : uint8_t { kFloat32, kBFloat16, kInt64 };

constexpr size_t ItemBytes(Type type) {
  return type == Type::kInt64 ? 8 : type == Type::kFloat32 ? 4 : 2;
}

constexpr int kMaxRank = 6;

// An array of up to six dimensions, the outermost first. Strides count elements; a dimension that is repeated
// has stride 0.
struct Strided {
  std::byte* data = nullptr;
  Type type = Type::kFloat32;
  int rank = 0;
  std::array<int64_t, kMaxRank> shape{};
  std::array<int64_t, kMaxRank> strides{};

  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data);
  }
};

}  // namespace distri::device
