// How attention's kernels of bfloat16 pack what they multiply: keys [key][element], values [element][key],
// queries and weights [pair][query][2], in tiles that AMX takes.
#pragma once

#include <cstdint>

#include "device/cpu/attention_kernel.h"

namespace distri::device::cpu {

struct Bf16Layout {
  // With as many, all that is used over and over stays in the first-level cache.
  static constexpr int64_t kQueries = 32;
  static constexpr int64_t kKeys = 96;
  // Elements in the 64 bytes of a tile's row: heads and keys are packed in multiples of as many, with zeros
  // beyond the last.
  static constexpr int64_t kMultiple = 32;
  static constexpr int64_t kItem = 2;

  // Elements of a packed key, and their bytes.
  int64_t width;
  int64_t key_bytes;

  explicit Bf16Layout(int64_t head_size)
      : width((head_size + kMultiple - 1) / kMultiple * kMultiple), key_bytes(width * kItem) {}

  static int64_t PackedKeys(int64_t keys) { return (keys + kMultiple - 1) / kMultiple * kMultiple; }
};

}  // namespace distri::device::cpu
