// Vectors of doubles, for statistics.
#pragma once

#include "device/cpu/lanes.h"

namespace distri::device::cpu {

// Floats that are summed as one vector: as many as there are doubles in a register for W floats.
template <int W>
constexpr int kDoubles = W > 4 ? W / 2 : 4;

template <int D>
using Doubles __attribute__((vector_size(D * sizeof(double)))) = double;
template <int D>
using DoublesInMemory __attribute__((vector_size(D * sizeof(double)), aligned(8), may_alias)) = double;

template <int D>
DISTRI_INLINE Doubles<D> ToDoubles(const Vector<D>& v) {
  return __builtin_convertvector(v, Doubles<D>);
}

}  // namespace distri::device::cpu
