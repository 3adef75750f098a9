#include "ops/copy.h"

#include <algorithm>
#include <cstring>

namespace distri::ops {
namespace {

// Below this, handing work to another thread takes longer than the copy.
constexpr size_t kPiece = 128 * 1024;

// Groups of copies of about kPiece bytes: long ones cut, short ones put together. Returns where each group
// begins.
std::vector<size_t> Cut(const std::vector<Copy>& copies, std::vector<Copy>& pieces) {
  std::vector<size_t> begins;
  size_t room = 0;
  for (const Copy& copy : copies) {
    for (size_t done = 0; done < copy.bytes;) {
      if (room == 0) {
        begins.push_back(pieces.size());
        room = kPiece;
      }
      const size_t bytes = std::min(room, copy.bytes - done);
      pieces.push_back(
          {static_cast<char*>(copy.to) + done, static_cast<const char*>(copy.from) + done, bytes});
      done += bytes;
      room -= bytes;
    }
  }
  begins.push_back(pieces.size());
  return begins;
}

}  // namespace

void CopyAll(const KernelContext& context, const std::vector<Copy>& copies) {
  std::vector<Copy> pieces;
  const std::vector<size_t> begins = Cut(copies, pieces);
  context.ParallelFor(begins.size() - 1, [&](size_t group) {
    for (size_t i = begins[group]; i < begins[group + 1]; ++i) {
      std::memcpy(pieces[i].to, pieces[i].from, pieces[i].bytes);
    }
  });
}

}  // namespace distri::ops
