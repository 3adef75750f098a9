#include "comm/shm/mapping.h"

#include <sys/mman.h>

#include "comm/communicator.h"

namespace distri::shm {

Mapping::Mapping(const SharedFile& file, size_t bytes, Access access) : bytes_(bytes) {
  const size_t size = file.size();
  if (size < bytes) {
    throw CommError(CommErrorCode::kProtocol,
                    file.name() + " has " + std::to_string(size) + " bytes, not " + std::to_string(bytes));
  }
  const int protection = access == Access::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
  void* address = mmap(nullptr, bytes, protection, MAP_SHARED, file.descriptor(), 0);
  if (address == MAP_FAILED) file.ThrowErrno("cannot map");
  data_ = static_cast<std::byte*>(address);
}

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

}  // namespace distri::shm
