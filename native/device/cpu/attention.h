// Attention whose scores are never written to memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "device/cpu/pool.h"
#include "device/strided.h"

namespace distri::device::cpu {

// Tokens with heads side by side: head h of token t of image b begins at data[b * image_stride + t *
// token_stride
// + h * head_size], in elements.
struct Tokens {
  std::byte* data = nullptr;
  Type type = Type::kFloat32;
  int64_t tokens = 0;
  int64_t image_stride = 0;
  int64_t token_stride = 0;
};

// softmax(scale * Q K^T + bias) V. Keys and values are the parts one after the other; they are taken in
// blocks of a fixed number from the first on, whatever the parts are, so that a query's result depends on
// neither how keys were divided nor which other queries are computed.
struct Attention {
  int64_t images = 0;
  int64_t heads = 0;
  int64_t head_size = 0;
  float scale = 1;
  // A query sees the keys up to its own place.
  bool causal = false;
  Tokens query;
  // The same number of each; types as the query's.
  const Tokens* keys = nullptr;
  const Tokens* values = nullptr;
  int parts = 0;
  // Float32 [images or 1, heads or 1, queries or 1, keys], strides 0 where 1; or null data.
  Strided bias;
  Tokens result;
};

// Bytes that Run needs to work in, aligned to 64.
size_t WorkBytes(const Attention& attention, const Pool& pool);
void Run(const Attention& attention, std::byte* work, Pool& pool);

}  // namespace distri::device::cpu
