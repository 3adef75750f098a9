// A shared memory file in this process's address space.
#pragma once

#include <cstddef>
#include <string>

namespace distri::shm {

class Mapping {
 public:
  Mapping() = default;
  // Maps the first `bytes` of `fd`, which must have that many: touching what a file lacks would be a SIGBUS.
  // `what` names the file in errors. Throws CommError(kProtocol).
  Mapping(int fd, size_t bytes, bool writable, const std::string& what);
  ~Mapping();

  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  char* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
};

// Bytes of the file. Throws CommError(kProtocol) for a descriptor that is not open.
size_t FileSize(int fd, const std::string& what);

// Gives the file exactly `bytes` of memory, all zero. The memory is taken now, so that a lack of it is an error
// here and not a SIGBUS later. Throws CommError(kProtocol).
void AllocateFile(int fd, size_t bytes, const std::string& what);

}  // namespace distri::shm
