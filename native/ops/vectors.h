// Vectors of floats of any width, and the transposition of as many of them.
#pragma once

#include <cstddef>
#include <utility>

#include "ops/math.h"

// GCC before 12 has only the older of the two.
#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define DISTRI_SHUFFLE(W, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#endif
#endif
#ifndef DISTRI_SHUFFLE
#define DISTRI_SHUFFLE(W, a, b, ...) __builtin_shuffle(a, b, Lanes<W>{__VA_ARGS__})
#endif

namespace distri::ops {

template <int W>
using Vector __attribute__((vector_size(W * sizeof(float)), aligned(sizeof(float)))) = float;
template <int W>
using Lanes __attribute__((vector_size(W * sizeof(int)))) = int;

// Exchanges lane `l` of a pair of vectors with lane `l ^ D` of the other, for half of the lanes.
template <int W, int D, size_t... L>
DISTRI_INLINE void Exchange(Vector<W>& a, Vector<W>& b, std::index_sequence<L...>) {
  const Vector<W> low =
      DISTRI_SHUFFLE(W, a, b, (L & D ? W + static_cast<int>(L) - D : static_cast<int>(L))...);
  const Vector<W> high =
      DISTRI_SHUFFLE(W, a, b, (L & D ? W + static_cast<int>(L) : static_cast<int>(L) + D)...);
  a = low;
  b = high;
}

// Transposes W vectors of W lanes.
template <int W, int D = W / 2>
DISTRI_INLINE void Transpose(Vector<W> (&rows)[W]) {
#pragma GCC unroll 16
  for (int i = 0; i < W; ++i)
    if (!(i & D)) Exchange<W, D>(rows[i], rows[i + D], std::make_index_sequence<W>{});
  if constexpr (D > 1) Transpose<W, D / 2>(rows);
}

}  // namespace distri::ops
