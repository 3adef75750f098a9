#include "device/cpu/rows.h"

#include <algorithm>

#include "device/cpu/lanes.h"
#include "ops/levels.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;

struct Loops {
  void (*widen)(const BFloat16* x, int64_t count, float* row);
  void (*narrow)(const float* row, int64_t count, BFloat16* y);
};

template <int W, class From, class To>
DISTRI_INLINE void Convert(const From* x, int64_t count, To* y) {
  int64_t i = 0;
  for (; i + W <= count; i += W) Store<W>(Load<W>(x + i), y + i);
  for (; i < count; ++i) y[i] = FromFloat<To>(ToFloat(x[i]));
}

#define DISTRI_ROW_LOOPS(Name, TARGET, W, V)                                        \
  struct Name {                                                                     \
    TARGET static void FromBFloat16(const BFloat16* x, int64_t count, float* row) { \
      Convert<W>(x, count, row);                                                    \
    }                                                                               \
    TARGET static void ToBFloat16(const float* row, int64_t count, BFloat16* y) {   \
      Convert<W>(row, count, y);                                                    \
    }                                                                               \
    static constexpr Loops kLoops{FromBFloat16, ToBFloat16};                        \
  };

DISTRI_LEVELS(DISTRI_ROW_LOOPS)

void LoadNext(const float* x, int64_t count, float* row) { std::copy_n(x, count, row); }
void LoadNext(const BFloat16* x, int64_t count, float* row) { ChosenLoops().widen(x, count, row); }
void LoadNext(const int64_t* x, int64_t count, float* row) {
  for (int64_t i = 0; i < count; ++i) row[i] = static_cast<float>(x[i]);
}

void StoreNext(const float* row, int64_t count, float* y) { std::copy_n(row, count, y); }
void StoreNext(const float* row, int64_t count, BFloat16* y) { ChosenLoops().narrow(row, count, y); }
void StoreNext(const float* row, int64_t count, int64_t* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = static_cast<int64_t>(row[i]);
}

float Widened(int64_t x) { return static_cast<float>(x); }
template <class T>
float Widened(T x) {
  return ToFloat(x);
}

template <class T>
T Narrowed(float x) {
  return FromFloat<T>(x);
}
template <>
int64_t Narrowed<int64_t>(float x) {
  return static_cast<int64_t>(x);
}

template <class T>
void LoadApart(const T* x, int64_t stride, int64_t count, float* row) {
  if (stride == 1) {
    LoadNext(x, count, row);
  } else if (stride == 0) {
    std::fill_n(row, count, Widened(*x));
  } else {
    for (int64_t i = 0; i < count; ++i) row[i] = Widened(x[i * stride]);
  }
}

template <class T>
void StoreApart(const float* row, int64_t count, T* y, int64_t stride) {
  if (stride == 1) {
    StoreNext(row, count, y);
  } else {
    for (int64_t i = 0; i < count; ++i) y[i * stride] = Narrowed<T>(row[i]);
  }
}

}  // namespace

void LoadRow(Type type, const std::byte* x, int64_t stride, int64_t count, float* row) {
  switch (type) {
    case Type::kFloat32:
      return LoadApart(reinterpret_cast<const float*>(x), stride, count, row);
    case Type::kBFloat16:
      return LoadApart(reinterpret_cast<const BFloat16*>(x), stride, count, row);
    case Type::kInt64:
      return LoadApart(reinterpret_cast<const int64_t*>(x), stride, count, row);
  }
}

void StoreRow(const float* row, int64_t count, Type type, std::byte* y, int64_t stride) {
  switch (type) {
    case Type::kFloat32:
      return StoreApart(row, count, reinterpret_cast<float*>(y), stride);
    case Type::kBFloat16:
      return StoreApart(row, count, reinterpret_cast<BFloat16*>(y), stride);
    case Type::kInt64:
      return StoreApart(row, count, reinterpret_cast<int64_t*>(y), stride);
  }
}

}  // namespace distri::device::cpu
