#include "ops/attend.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "ops/attention_block.h"

namespace distri::ops {

void CheckHeads(const Input& queries, int64_t heads) {
  if (queries.shape.size() != 3 || heads < 1 || queries.shape[2] % heads != 0) {
    throw std::invalid_argument("expected queries [B, tokens, C] with C a multiple of " +
                                std::to_string(heads) + " heads, not " + ToString(queries.shape));
  }
}

// Every block of queries of every head of every image is a task of its own.
void AttendAll(const KernelContext& context, const Input& queries, int64_t heads,
               const std::vector<TokenSource>& sources, float* out) {
  const size_t tokens = static_cast<size_t>(queries.shape[1]);
  const size_t channels = static_cast<size_t>(queries.shape[2]);
  const size_t width = channels / static_cast<size_t>(heads);
  const size_t blocks = (tokens + kQueryBlock - 1) / kQueryBlock;
  const size_t image_heads = static_cast<size_t>(queries.shape[0] * heads);
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  context.ParallelFor(image_heads * blocks, [&](size_t task) {
    const size_t image = task / blocks / static_cast<size_t>(heads);
    const size_t column = task / blocks % static_cast<size_t>(heads) * width;
    AttentionHead head{width, channels, scale, {}};
    for (const TokenSource& source : sources) {
      const size_t offset = image * static_cast<size_t>(source.stride) * channels + column;
      head.segments.push_back(
          {source.keys + offset, source.values + offset, static_cast<size_t>(source.tokens)});
    }
    const size_t first = task % blocks * kQueryBlock;
    const size_t offset = (image * tokens + first) * channels + column;
    AttendBlock(head, queries.data + offset, std::min(kQueryBlock, tokens - first), out + offset);
  });
}

}  // namespace distri::ops
