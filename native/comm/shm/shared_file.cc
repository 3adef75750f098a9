#include "comm/shm/shared_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "comm/communicator.h"

namespace distri::shm {
namespace {

// A signal undoes the call that it interrupts; pieces ensure that repeating it gets somewhere.
constexpr size_t kPieceBytes = size_t{64} << 20;

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

struct stat SharedFile::Status() const {
  struct stat status {};
  if (fstat(descriptor_, &status) != 0) ThrowErrno("cannot look at");
  return status;
}

size_t SharedFile::size() const { return static_cast<size_t>(Status().st_size); }

uint64_t SharedFile::allocated() const {
  // Whatever the blocks of the file system are.
  constexpr uint64_t kBlock = 512;
  return static_cast<uint64_t>(Status().st_blocks) * kBlock;
}

void SharedFile::Clear() const {
  if (ftruncate(descriptor_, 0) != 0) ThrowErrno("cannot resize");
}

void SharedFile::Allocate(size_t bytes) const {
  for (size_t offset = 0; offset < bytes; offset += kPieceBytes) {
    if (AllocatePiece(descriptor_, offset, std::min(kPieceBytes, bytes - offset)) != 0) {
      ThrowErrno("cannot allocate");
    }
  }
}

void SharedFile::ThrowErrno(const std::string& action) const {
  throw CommError(CommErrorCode::kProtocol, action + " " + name_ + ": " + std::strerror(errno));
}

}  // namespace distri::shm
