// Attention of all queries of a call to tokens that lie in several places.
#pragma once

#include <vector>

#include "ops/kernel.h"

namespace distri::ops {

// Keys and values `[B, stride, C]`, of whose tokens the first ones of each image take part.
struct TokenSource {
  const float* keys;
  const float* values;
  int64_t tokens;
  int64_t stride;
};

// What is added to scores, `[B or 1, heads or 1, tokens or 1, T]`; strides are 0 where there is one.
struct ScoreBias {
  const float* data = nullptr;
  int64_t image_stride = 0;
  int64_t head_stride = 0;
  int64_t query_stride = 0;
};

// Throws std::invalid_argument unless queries are [B, tokens, C] and C is a multiple of the heads.
void CheckHeads(const Input& queries, int64_t heads);

// softmax(Q K^T / sqrt(C / heads)) V of each image and head into `out`, which is like the queries. The order
// of the sources is that of the sums.
void AttendAll(const KernelContext& context, const Input& queries, int64_t heads,
               const std::vector<TokenSource>& sources, float* out);

// The same of softmax(scale * Q K^T + bias).
void AttendBiased(const KernelContext& context, const Input& queries, int64_t heads, float scale,
                  const std::vector<TokenSource>& sources, const ScoreBias& bias, float* out);

}  // namespace distri::ops
