#pragma once

#include <cstddef>
#include <utility>

#include "comm/shm/shared_file.h"

namespace distri::shm {

// A shared memory file in this process's address space, unmapped at the end of its life.
class Mapping {
 public:
  enum class Access { kRead, kReadWrite };

  // Maps the first `bytes` of `file`. Throws CommError(kProtocol) when it is shorter (touching what lies
  // beyond would be SIGBUS) or can't be mapped.
  Mapping(const SharedFile& file, size_t bytes, Access access);
  ~Mapping();
  Mapping(Mapping&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  // At the start of a page.
  std::byte* data() const { return data_; }

 private:
  std::byte* data_;
  size_t bytes_;
};

}  // namespace distri::shm
