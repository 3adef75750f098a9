// What of attention depends on types and instruction sets. Everything of queries is kept transposed, a row of
// block's queries for each element of a head or each key: so the softmax of as many queries is done in as
// many lanes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/strided.h"

namespace distri::device::cpu {

// The most queries and keys of a block.
constexpr int64_t kMostQueries = 64;
constexpr int64_t kMostKeys = 96;
// A maximum of no scores, and what scores that are not to count become at most.
constexpr float kNoScore = -1e30f;

// Rows of keys and values that are packed.
struct KeyRows {
  int64_t count = 0;
  int64_t head_size = 0;
  const std::byte* keys[kMostKeys];
  const std::byte* values[kMostKeys];
};

// Rows of queries or results; strides in elements.
struct QueryRows {
  std::byte* data;
  int64_t stride;
  int64_t count;
  int64_t head_size;
};

// What is kept of one block of queries while all keys pass by.
struct QueryState {
  // As the kernel's products take them.
  std::byte* queries;
  // [keys of a block, queries].
  float* scores;
  // The same after the softmax, if it is of another type than scores.
  std::byte* weights;
  // [head size, queries], sums of weighted values.
  float* sums;
  // [queries] each: of scores so far, of weights so far, and by what sums are multiplied before more is
  // added.
  float* maximum;
  float* total;
  float* decay;
};

struct AttentionKernel {
  // Of a block.
  int64_t queries;
  int64_t keys;
  // Head sizes and keys are packed in multiples of these.
  int64_t head_multiple;
  int64_t key_multiple;
  // Bytes of a packed element, and of a query's.
  int64_t item_bytes;
  // Whether load_queries multiplies by the scale; else the softmax does.
  bool scaled_queries;

  // Called by a thread before and after it computes blocks of queries, or null.
  void (*begin)();
  void (*end)();
  void (*pack)(const KeyRows& rows, std::byte* keys, std::byte* values);
  void (*load_queries)(const QueryRows& rows, float scale, const QueryState& state);
  // scores = keys * queries, of `keys` packed keys.
  void (*multiply_keys)(const std::byte* packed, int64_t keys, const QueryRows& rows,
                        const QueryState& state);
  // Scores become weights 2^(factor * (score - maximum)).
  void (*softmax)(int64_t keys, float factor, const QueryState& state);
  // sums = decay * sums + values * weights.
  void (*multiply_values)(const std::byte* packed, int64_t keys, const QueryRows& rows,
                          const QueryState& state);
  // score = factor * score + bias of its key.
  void (*add_bias)(const float* bias, int64_t keys, float factor, float* scores);
  // rows = sums / total.
  void (*store)(const QueryState& state, const QueryRows& rows);
};

// The fastest for this type that this processor has.
const AttentionKernel& AttentionKernelFor(Type type);

// Computes in float32, from and to either type.
const AttentionKernel& VectorAttentionKernel(Type type);

// Those that multiply bfloat16.
#if defined(DISTRI_HAS_BF16)
const AttentionKernel& Bf16AttentionKernel();
#endif
#if defined(DISTRI_HAS_AMX)
const AttentionKernel& AmxAttentionKernel();
#endif

}  // namespace distri::device::cpu
