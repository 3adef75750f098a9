#include "ops/loops.h"

#include "ops/levels.h"
#include "ops/math.h"

// The simd pragmas say what the compiler may not assume by itself: sums may be reordered, and arrays that
// overlap are the same array.
namespace distri::ops {
namespace {

struct Loops {
  Moments (*moments)(const float* x, size_t count);
  void (*affine)(const float* x, float* y, size_t count, float scale, float shift);
  void (*silu)(const float* x, float* y, size_t count, float scale, float shift);
  void (*add)(const float* x, float* y, size_t count);
};

DISTRI_INLINE Moments MomentsLoop(const float* x, size_t count) {
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

DISTRI_INLINE void AffineLoop(const float* x, float* y, size_t count, float scale, float shift) {
#pragma omp simd
  for (size_t i = 0; i < count; ++i) y[i] = scale * x[i] + shift;
}

DISTRI_INLINE void SiluLoop(const float* x, float* y, size_t count, float scale, float shift) {
#pragma omp simd
  for (size_t i = 0; i < count; ++i) y[i] = Silu(scale * x[i] + shift);
}

DISTRI_INLINE void AddLoop(const float* x, float* y, size_t count) {
#pragma omp simd
  for (size_t i = 0; i < count; ++i) y[i] += x[i];
}

#define DISTRI_SIMPLE_LOOPS(Name, TARGET, W, V)                                                     \
  struct Name {                                                                                     \
    TARGET static Moments SumOf(const float* x, size_t count) { return MomentsLoop(x, count); }     \
    TARGET static void AffineOf(const float* x, float* y, size_t count, float scale, float shift) { \
      AffineLoop(x, y, count, scale, shift);                                                        \
    }                                                                                               \
    TARGET static void SiluOf(const float* x, float* y, size_t count, float scale, float shift) {   \
      SiluLoop(x, y, count, scale, shift);                                                          \
    }                                                                                               \
    TARGET static void AddOf(const float* x, float* y, size_t count) { AddLoop(x, y, count); }      \
    static constexpr Loops kLoops{SumOf, AffineOf, SiluOf, AddOf};                                  \
  };

DISTRI_LEVELS(DISTRI_SIMPLE_LOOPS)

}  // namespace

Moments SumMoments(const float* x, size_t count) { return ChosenLoops().moments(x, count); }

void Affine(const float* x, float* y, size_t count, float scale, float shift) {
  ChosenLoops().affine(x, y, count, scale, shift);
}

void AffineSilu(const float* x, float* y, size_t count, float scale, float shift) {
  ChosenLoops().silu(x, y, count, scale, shift);
}

void AddTo(const float* x, float* y, size_t count) { ChosenLoops().add(x, y, count); }

}  // namespace distri::ops
