#include <algorithm>
#include <array>

#include "device/cpu/norms.h"

namespace distri::device::cpu {
namespace {

// Channels that are summed side by side.
constexpr int64_t kWidth = 64;

struct ChannelSums {
  std::array<float, kWidth> sum{};
  std::array<float, kWidth> squares{};
};

ChannelSums SumOf(const Image& x, int64_t image, int64_t first, int64_t count) {
  ChannelSums sums;
  const auto* data = reinterpret_cast<const float*>(x.data) + image * x.image_stride + first;
  for (int64_t row = 0; row < x.rows; ++row) {
    for (int64_t column = 0; column < x.columns; ++column) {
      const float* pixel = data + row * x.row_stride + column * x.column_stride;
      for (int64_t c = 0; c < count; ++c) {
        const auto at = static_cast<size_t>(c);
        sums.sum[at] += pixel[c];
        sums.squares[at] += pixel[c] * pixel[c];
      }
    }
  }
  return sums;
}

}  // namespace

void SumChannels(const Image& x, int64_t groups, Sums* sums, Pool& pool) {
  const int64_t size = x.channels / groups;
  pool.Run(x.images * groups, [&](int64_t task) {
    const int64_t image = task / groups;
    const int64_t first = task % groups * size;
    float sum = 0;
    float squares = 0;
    for (int64_t done = 0; done < size; done += kWidth) {
      const int64_t count = std::min(size - done, kWidth);
      const ChannelSums part = SumOf(x, image, first + done, count);
      for (int64_t c = 0; c < count; ++c) {
        sum += part.sum[static_cast<size_t>(c)];
        squares += part.squares[static_cast<size_t>(c)];
      }
    }
    sums[task] = {sum, squares};
  });
}

}  // namespace distri::device::cpu
