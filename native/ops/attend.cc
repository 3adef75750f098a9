#include "ops/attend.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "ops/attention_block.h"

namespace distri::ops {
namespace {

AttentionBias BiasAt(const ScoreBias& bias, size_t image, size_t head, size_t query) {
  if (bias.data == nullptr) return {};
  const int64_t offset = static_cast<int64_t>(image) * bias.image_stride +
                         static_cast<int64_t>(head) * bias.head_stride +
                         static_cast<int64_t>(query) * bias.query_stride;
  return {bias.data + offset, static_cast<size_t>(bias.query_stride), 1};
}

}  // namespace

void CheckHeads(const Input& queries, int64_t heads) {
  if (queries.shape.size() != 3 || heads < 1 || queries.shape[2] % heads != 0) {
    throw std::invalid_argument("expected queries [B, tokens, C] with C a multiple of " +
                                std::to_string(heads) + " heads, not " + ToString(queries.shape));
  }
}

void AttendAll(const KernelContext& context, const Input& queries, int64_t heads,
               const std::vector<TokenSource>& sources, float* out) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(queries.shape[2] / heads));
  AttendBiased(context, queries, heads, scale, sources, {}, out);
}

// Every block of queries of every head of every image is a task of its own.
void AttendBiased(const KernelContext& context, const Input& queries, int64_t heads, float scale,
                  const std::vector<TokenSource>& sources, const ScoreBias& bias, float* out) {
  const size_t tokens = static_cast<size_t>(queries.shape[1]);
  const size_t channels = static_cast<size_t>(queries.shape[2]);
  const size_t width = channels / static_cast<size_t>(heads);
  const size_t blocks = (tokens + kQueryBlock - 1) / kQueryBlock;
  const size_t image_heads = static_cast<size_t>(queries.shape[0] * heads);
  context.ParallelFor(image_heads * blocks, [&](size_t task) {
    const size_t image = task / blocks / static_cast<size_t>(heads);
    const size_t own = task / blocks % static_cast<size_t>(heads);
    const size_t column = own * width;
    const size_t first = task % blocks * kQueryBlock;
    AttentionHead head{width, channels, scale, {}, BiasAt(bias, image, own, first)};
    for (const TokenSource& source : sources) {
      const size_t offset = image * static_cast<size_t>(source.stride) * channels + column;
      head.segments.push_back(
          {source.keys + offset, source.values + offset, static_cast<size_t>(source.tokens)});
    }
    const size_t offset = (image * tokens + first) * channels + column;
    AttendBlock(head, queries.data + offset, std::min(kQueryBlock, tokens - first), out + offset);
  });
}

}  // namespace distri::ops
