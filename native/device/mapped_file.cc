#include "device/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace distri::device {
namespace {

[[noreturn]] void Fail(const std::string& path, const std::string& what) {
  throw std::runtime_error(path + ": " + what + ": " + std::strerror(errno));
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) Fail(path, "cannot be opened");
  struct stat status;
  const bool known = fstat(file, &status) == 0;
  void* data = MAP_FAILED;
  if (known) {
    bytes_ = static_cast<size_t>(status.st_size);
    data = mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, file, 0);
  }
  const int error = errno;
  close(file);
  errno = error;
  if (data == MAP_FAILED) Fail(path, "cannot be mapped");
  data_ = static_cast<const std::byte*>(data);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), bytes_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

const std::byte* MappedFile::At(size_t offset, size_t bytes) const {
  if (offset > bytes_ || bytes > bytes_ - offset) {
    throw std::runtime_error(path_ + ": ends before byte " + std::to_string(offset + bytes));
  }
  return data_ + offset;
}

}  // namespace distri::device
