// The loops that operators spend their time in, each compiled for several instruction sets.
#pragma once

#include <cstddef>

namespace distri::ops {

struct Moments {
  double sum = 0;
  double squares = 0;
};

// Sum and sum of squares of x[0, count).
Moments SumMoments(const float* x, size_t count);

// y = scale * x + shift. x and y may be the same array.
void Affine(const float* x, float* y, size_t count, float scale, float shift);

// y = silu(scale * x + shift). x and y may be the same array.
void AffineSilu(const float* x, float* y, size_t count, float scale, float shift);

// y += x.
void AddTo(const float* x, float* y, size_t count);

}  // namespace distri::ops
