#include "device/memory.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace distri::device {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kHugePage = size_t{1} << 21;

size_t Rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

Memory::Memory(size_t bytes) {
  const size_t wanted = bytes + kSlack;
  const size_t unit = wanted >= kHugePage ? kHugePage : kLine;
  const size_t size = Rounded(wanted, unit);
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(unit, size)));
  if (!data_) throw std::bad_alloc();
  // Where the kernel has none to give, pages of the usual size are as right.
  if (unit == kHugePage) madvise(data_.get(), size, MADV_HUGEPAGE);
  std::memset(data_.get(), 0, size);
}

}  // namespace distri::device
