#include "comm/shm/mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "comm/communicator.h"

namespace distri::shm {
namespace {

[[noreturn]] void Fail(const std::string& what, const std::string& problem, int error) {
  throw CommError(CommErrorCode::kProtocol, what + ": " + problem + ": " + std::strerror(error));
}

}  // namespace

Mapping::Mapping(int fd, size_t bytes, bool writable, const std::string& what) : size_(bytes) {
  const size_t actual = FileSize(fd, what);
  if (actual < bytes) {
    throw CommError(CommErrorCode::kProtocol, what + " has " + std::to_string(actual) + " bytes, " +
                                                  std::to_string(bytes) + " were announced");
  }
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  void* address = mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) Fail(what, "cannot be mapped", errno);
  data_ = static_cast<char*>(address);
}

Mapping::~Mapping() {
  if (data_) munmap(data_, size_);
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

size_t FileSize(int fd, const std::string& what) {
  struct stat status;
  if (fstat(fd, &status) != 0) Fail(what, "descriptor " + std::to_string(fd), errno);
  return static_cast<size_t>(status.st_size);
}

void AllocateFile(int fd, size_t bytes, const std::string& what) {
  // Cutting it to nothing first frees the old memory and makes the new zero.
  if (ftruncate(fd, 0) != 0) Fail(what, "cannot be resized", errno);
  int error;
  do error = posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  while (error == EINTR);
  if (error != 0) Fail(what, "no " + std::to_string(bytes) + " bytes of memory", error);
}

}  // namespace distri::shm
