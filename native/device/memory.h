// Memory of a program, aligned for vectors and for huge pages where it is large.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace distri::device {

// Kernels may load this much beyond an operand.
constexpr size_t kSlack = 4096;

class Memory {
 public:
  Memory() = default;
  // Zeros. Throws std::bad_alloc.
  explicit Memory(size_t bytes);

  std::byte* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(std::byte* data) const { std::free(data); }
  };
  std::unique_ptr<std::byte, Free> data_;
};

// Room to work in, which commands have one after the other: it is as large as the most that one of them needs.
class WorkMemory {
 public:
  // What was in it is lost. Throws std::bad_alloc.
  std::byte* AtLeast(size_t bytes);

 private:
  Memory memory_;
  size_t bytes_ = 0;
};

}  // namespace distri::device
