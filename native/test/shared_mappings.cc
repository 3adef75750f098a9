// ThreadSanitizer knows data by its address, but every rank that is a thread maps the same data elsewhere.
// Linked with -Wl,--wrap=mmap,--wrap=munmap all mappings of a file in this process become one, in which it
// sees races.
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <mutex>

extern "C" {
void* __real_mmap(void* address, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_munmap(void* address, size_t bytes);
void* __wrap_mmap(void* address, size_t bytes, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void* address, size_t bytes);
}

namespace {

class SharedMappings {
 public:
  void* Map(int fd) {
    const std::lock_guard<std::mutex> lock(mutex_);
    struct stat status {};
    if (fstat(fd, &status) != 0) return MAP_FAILED;
    Entry& entry = entries_[status.st_ino];
    if (entry.users++ == 0) {
      entry.bytes = static_cast<size_t>(status.st_size);
      entry.address = __real_mmap(nullptr, entry.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    return entry.address;
  }

  int Unmap(void* address) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const auto& entry) { return entry.second.address == address; });
    if (--found->second.users > 0) return 0;
    const size_t bytes = found->second.bytes;
    entries_.erase(found);
    return __real_munmap(address, bytes);
  }

 private:
  struct Entry {
    void* address = nullptr;
    size_t bytes = 0;
    int users = 0;
  };

  std::mutex mutex_;
  std::map<ino_t, Entry> entries_;
};

SharedMappings& Mappings() {
  static SharedMappings mappings;
  return mappings;
}

}  // namespace

extern "C" void* __wrap_mmap(void*, size_t, int, int, int fd, off_t) { return Mappings().Map(fd); }
extern "C" int __wrap_munmap(void* address, size_t) { return Mappings().Unmap(address); }
