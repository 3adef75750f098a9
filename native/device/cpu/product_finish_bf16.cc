#include "device/cpu/product_finish_bf16.h"

#if defined(DISTRI_HAS_BF16)

#include <immintrin.h>

#include "ops/math.h"

#define DISTRI_BF16 __attribute__((target("arch=x86-64-v4,avx512bf16")))

namespace distri::device::cpu {
namespace {

constexpr int64_t kVector = 16;

struct NoResidual {
  static constexpr bool kIsThere = false;
  static constexpr int64_t kItem = 0;
};
struct FloatResidual {
  static constexpr bool kIsThere = true;
  static constexpr int64_t kItem = sizeof(float);
  DISTRI_BF16 static DISTRI_INLINE __m512 Load(const std::byte* x) { return _mm512_loadu_ps(x); }
};
struct Bf16Residual {
  static constexpr bool kIsThere = true;
  static constexpr int64_t kItem = sizeof(uint16_t);
  DISTRI_BF16 static DISTRI_INLINE __m512 Load(const std::byte* x) {
    using Halves __attribute__((vector_size(32), aligned(2), may_alias)) = uint16_t;
    using Words __attribute__((vector_size(64))) = uint32_t;
    return reinterpret_cast<__m512>(__builtin_convertvector(*reinterpret_cast<const Halves*>(x), Words)
                                    << 16);
  }
};

template <class Residual>
DISTRI_BF16 DISTRI_INLINE __m512 Total(const float* sums, __m512 addend, const std::byte* residual) {
  __m512 total = _mm512_add_ps(_mm512_loadu_ps(sums), addend);
  if constexpr (Residual::kIsThere) total = _mm512_add_ps(total, Residual::Load(residual));
  return total;
}

// The two vectors of a column of results, all rows of it: what is added stays in registers.
template <class Residual>
DISTRI_BF16 void StorePairs(const FinishedRows& rows, int64_t lane, const float* addend, const float* sums,
                            int64_t stride) {
  const __m512 lower = _mm512_loadu_ps(addend + lane);
  const __m512 upper = _mm512_loadu_ps(addend + lane + kVector);
  const std::byte* residual = rows.residual + lane * Residual::kItem;
  auto* result = reinterpret_cast<uint16_t*>(rows.result) + lane;
  sums += lane;
  for (int64_t row = 0; row < rows.count; ++row) {
    const __m512 first = Total<Residual>(sums, lower, residual);
    const __m512 second = Total<Residual>(sums + kVector, upper, residual + kVector * Residual::kItem);
    _mm512_storeu_si512(result, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first)));
    sums += stride;
    result += rows.result_stride / static_cast<int64_t>(sizeof *result);
    residual += rows.residual_stride;
  }
}

template <class Residual>
DISTRI_BF16 void StoreSingles(const FinishedRows& rows, int64_t lane, const float* addend, const float* sums,
                              int64_t stride) {
  const __m512 added = _mm512_loadu_ps(addend + lane);
  const std::byte* residual = rows.residual + lane * Residual::kItem;
  auto* result = reinterpret_cast<uint16_t*>(rows.result) + lane;
  sums += lane;
  for (int64_t row = 0; row < rows.count; ++row) {
    const __m256bh rounded = _mm512_cvtneps_pbh(Total<Residual>(sums, added, residual));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(result), reinterpret_cast<__m256i>(rounded));
    sums += stride;
    result += rows.result_stride / static_cast<int64_t>(sizeof *result);
    residual += rows.residual_stride;
  }
}

template <class Residual>
void Store(const FinishedRows& rows, int64_t width, const float* addend, const float* sums, int64_t stride) {
  int64_t lane = 0;
  for (; lane + 2 * kVector <= width; lane += 2 * kVector)
    StorePairs<Residual>(rows, lane, addend, sums, stride);
  if (lane < width) StoreSingles<Residual>(rows, lane, addend, sums, stride);
}

}  // namespace

void StoreRowsBf16(const FinishedRows& rows, Type residual_type, int64_t width, const float* addend,
                   const float* sums, int64_t stride) {
  if (!rows.residual)
    Store<NoResidual>(rows, width, addend, sums, stride);
  else if (residual_type == Type::kBFloat16)
    Store<Bf16Residual>(rows, width, addend, sums, stride);
  else
    Store<FloatResidual>(rows, width, addend, sums, stride);
}

}  // namespace distri::device::cpu

#endif
