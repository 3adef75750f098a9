// Vectors of doubles, for statistics.
#pragma once

#include <cstddef>

#include "device/cpu/lanes.h"

namespace distri::device::cpu {

// Floats that are summed as one vector: as many as there are doubles in a register for W floats.
template <int W>
constexpr int kDoubles = W > 4 ? W / 2 : 4;

template <int D>
using Doubles __attribute__((vector_size(D * sizeof(double)))) = double;
template <int D>
using DoublesInMemory __attribute__((vector_size(D * sizeof(double)), aligned(8), may_alias)) = double;

template <int D, class T>
DISTRI_INLINE Doubles<D> LoadDoubles(const T* x) {
  return __builtin_convertvector(Load<D>(x), Doubles<D>);
}

template <int D, class T>
DISTRI_INLINE Doubles<D> LoadSomeDoubles(const T* x, size_t count) {
  return __builtin_convertvector(LoadSome<D>(x, count), Doubles<D>);
}

}  // namespace distri::device::cpu
