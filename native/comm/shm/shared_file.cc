#include "comm/shm/shared_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <utility>

#include "comm/communicator.h"

namespace distri::shm {
namespace {

// A signal undoes the call that it interrupts; pieces ensure that repeating it gets somewhere.
constexpr size_t kPieceBytes = size_t{64} << 20;

// Bytes that the machine can give without swapping; unlimited where it doesn't tell.
size_t AvailableMemory() {
  std::ifstream lines("/proc/meminfo");
  std::string key;
  for (size_t kibibytes = 0; lines >> key >> kibibytes; lines.ignore(80, '\n')) {
    if (key == "MemAvailable:") return kibibytes << 10;
  }
  return std::numeric_limits<size_t>::max();
}

int AllocatePiece(int descriptor, size_t offset, size_t bytes) {
  int result = 0;
  do {
    result = fallocate(descriptor, 0, static_cast<off_t>(offset), static_cast<off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  return result;
}

}  // namespace

SharedFile::SharedFile(int fd, std::string name)
    : descriptor_(fcntl(fd, F_DUPFD_CLOEXEC, 0)), name_(std::move(name)) {
  if (descriptor_ < 0) ThrowErrno("cannot use descriptor " + std::to_string(fd) + " for");
  // Only file systems in memory know seals.
  if (fcntl(descriptor_, F_GET_SEALS) >= 0) return;
  close(descriptor_);
  throw CommError(CommErrorCode::kProtocol,
                  "descriptor " + std::to_string(fd) + " for " + name_ + " is not shared memory");
}

SharedFile::~SharedFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

SharedFile::SharedFile(SharedFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), name_(std::move(other.name_)) {}

size_t SharedFile::size() const {
  struct stat status {};
  if (fstat(descriptor_, &status) != 0) ThrowErrno("cannot look at");
  return static_cast<size_t>(status.st_size);
}

void SharedFile::Clear() const {
  if (ftruncate(descriptor_, 0) != 0) ThrowErrno("cannot resize");
}

void SharedFile::Allocate(size_t bytes) const {
  for (size_t offset = 0; offset < bytes; offset += kPieceBytes) {
    CheckAvailable(bytes - offset);
    if (AllocatePiece(descriptor_, offset, std::min(kPieceBytes, bytes - offset)) != 0) {
      ThrowErrno("cannot allocate");
    }
  }
}

void SharedFile::CheckAvailable(size_t bytes) const {
  const size_t available = AvailableMemory();
  if (bytes <= available) return;
  throw CommError(CommErrorCode::kProtocol, name_ + " needs " + std::to_string(bytes >> 20) +
                                                " MiB more memory, " + std::to_string(available >> 20) +
                                                " MiB are available");
}

void SharedFile::ThrowErrno(const std::string& action) const {
  throw CommError(CommErrorCode::kProtocol, action + " " + name_ + ": " + std::strerror(errno));
}

}  // namespace distri::shm
