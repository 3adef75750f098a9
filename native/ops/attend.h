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

// Throws std::invalid_argument unless queries are [B, tokens, C] and C is a multiple of the heads.
void CheckHeads(const Input& queries, int64_t heads);

// softmax(Q K^T / sqrt(C / heads)) V of each image and head into `out`, which is like the queries. The order
// of the sources is that of the sums.
void AttendAll(const KernelContext& context, const Input& queries, int64_t heads,
               const std::vector<TokenSource>& sources, float* out);

}  // namespace distri::ops
