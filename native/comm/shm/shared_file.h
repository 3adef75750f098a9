#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace distri::shm {

// A shared memory file (memfd) by a duplicate of a descriptor, which stays its owner's.
// All errors are CommError(kProtocol) and name the file.
class SharedFile {
 public:
  // Throws when `fd` is not open or not shared memory.
  SharedFile(int fd, std::string name);
  ~SharedFile();
  SharedFile(SharedFile&& other) noexcept;
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;

  int descriptor() const { return descriptor_; }
  const std::string& name() const { return name_; }
  size_t size() const;
  // Bytes of memory behind it.
  uint64_t allocated() const;

  // Gives all memory back.
  void Clear() const;
  // Makes the file at least `bytes` long, with memory behind every page: where a sparse file would kill the
  // process with SIGBUS at its first touch, a lack of memory is an error here. But where a control group's
  // limit is met, and on most machines, the kernel rather kills a process than refuses: who allocates much
  // looks before whether there is so much. New bytes are zero.
  void Allocate(size_t bytes) const;

  // Throws an error about this file that ends in the text of errno.
  [[noreturn]] void ThrowErrno(const std::string& action) const;

 private:
  struct stat Status() const;

  int descriptor_;
  std::string name_;
};

}  // namespace distri::shm
