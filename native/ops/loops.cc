#include "ops/loops.h"

#include "ops/math.h"

// Set by CMake where the compiler and the C library can choose between versions of a function at load.
#ifndef DISTRI_CLONES
#define DISTRI_CLONES
#endif

// The simd pragmas say what the compiler may not assume by itself: sums may be reordered, and arrays that
// overlap are the same array.
namespace distri::ops {

DISTRI_CLONES Moments SumMoments(const float* x, size_t count) {
  double sum = 0;
  double squares = 0;
#pragma omp simd reduction(+ : sum, squares)
  for (size_t i = 0; i < count; ++i) {
    const double value = x[i];
    sum += value;
    squares += value * value;
  }
  return {sum, squares};
}

DISTRI_CLONES void Affine(const float* x, float* y, size_t count, float scale, float shift) {
#pragma omp simd
  for (size_t i = 0; i < count; ++i) y[i] = scale * x[i] + shift;
}

DISTRI_CLONES void AffineSilu(const float* x, float* y, size_t count, float scale, float shift) {
#pragma omp simd
  for (size_t i = 0; i < count; ++i) y[i] = Silu(scale * x[i] + shift);
}

DISTRI_CLONES void AddTo(const float* x, float* y, size_t count) {
#pragma omp simd
  for (size_t i = 0; i < count; ++i) y[i] += x[i];
}

}  // namespace distri::ops
