#include <algorithm>
#include <cmath>
#include <type_traits>

#include "device/cpu/doubles.h"
#include "device/cpu/lanes.h"
#include "device/cpu/norms.h"
#include "ops/levels.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;

// Vectors of doubles that are summed side by side, so that none waits for the one before.
constexpr int kSideBySide = 4;

// What is applied to one row; null where there is none.
struct Affine {
  float mean;
  float inverse;
  const float* scale;
  const float* shift;
  const float* image_scale;
  const float* image_shift;
};

template <class T>
struct TypeLoops {
  Sums (*sum)(const T* x, int64_t features);
  void (*affine)(const T* x, T* y, int64_t features, const Affine& affine);
};

struct Loops {
  TypeLoops<float> float32;
  TypeLoops<BFloat16> bfloat16;
};

template <int D>
struct VectorSums {
  Doubles<D> sum{};
  Doubles<D> squares{};

  DISTRI_INLINE void Add(const Doubles<D>& value) {
    sum += value;
    squares += value * value;
  }
};

template <int D>
DISTRI_INLINE double Total(const Doubles<D>& lanes) {
  double total = 0;
#pragma GCC unroll 8
  for (int i = 0; i < D; ++i) total += lanes[i];
  return total;
}

template <int D, class T>
DISTRI_INLINE Sums SumFeatures(const T* x, int64_t features) {
  VectorSums<D> sums[kSideBySide];
  int64_t i = 0;
  for (; i + kSideBySide * D <= features; i += kSideBySide * D) {
#pragma GCC unroll 4
    for (int v = 0; v < kSideBySide; ++v) sums[v].Add(LoadDoubles<D>(x + i + v * D));
  }
  for (; i + D <= features; i += D) sums[0].Add(LoadDoubles<D>(x + i));
  sums[1].Add(LoadSomeDoubles<D>(x + i, static_cast<size_t>(features - i)));
#pragma GCC unroll 4
  for (int v = 1; v < kSideBySide; ++v) {
    sums[0].sum += sums[v].sum;
    sums[0].squares += sums[v].squares;
  }
  return {Total<D>(sums[0].sum), Total<D>(sums[0].squares)};
}

// `Get` loads a vector of the features from a place on, of float32 or of another type.
template <int W, class Get>
DISTRI_INLINE Vector<W> AffineOf(Vector<W> x, const Affine& affine, const Get& get) {
  x = (x - affine.mean) * affine.inverse;
  if (affine.scale != nullptr) x = x * get(affine.scale);
  if (affine.shift != nullptr) x = x + get(affine.shift);
  if (affine.image_scale != nullptr) x = x * (1.0f + get(affine.image_scale));
  if (affine.image_shift != nullptr) x = x + get(affine.image_shift);
  return x;
}

template <int W>
struct GetWhole {
  int64_t begin;

  template <class T>
  DISTRI_INLINE Vector<W> operator()(const T* row) const {
    return Load<W>(row + begin);
  }
};

template <int W>
struct GetRest {
  int64_t begin;
  size_t count;

  template <class T>
  DISTRI_INLINE Vector<W> operator()(const T* row) const {
    return LoadSome<W>(row + begin, count);
  }
};

template <int W, class T>
DISTRI_INLINE void AffineFeatures(const T* x, T* y, int64_t features, const Affine& affine) {
  int64_t i = 0;
  for (; i + W <= features; i += W) {
    const GetWhole<W> get{i};
    Store<W>(AffineOf<W>(get(x), affine, get), y + i);
  }
  if (i == features) return;
  const GetRest<W> get{i, static_cast<size_t>(features - i)};
  StoreSome<W>(AffineOf<W>(get(x), affine, get), y + i, get.count);
}

#define DISTRI_LAYER_LOOPS(Name, TARGET, W, V)                                                         \
  struct Name {                                                                                        \
    template <class T>                                                                                 \
    TARGET static Sums Sum(const T* x, int64_t features) {                                             \
      return SumFeatures<kDoubles<W>>(x, features);                                                    \
    }                                                                                                  \
    template <class T>                                                                                 \
    TARGET static void AffineTo(const T* x, T* y, int64_t features, const Affine& affine) {            \
      AffineFeatures<W>(x, y, features, affine);                                                       \
    }                                                                                                  \
    static constexpr Loops kLoops{{Sum<float>, AffineTo<float>}, {Sum<BFloat16>, AffineTo<BFloat16>}}; \
  };

DISTRI_LEVELS(DISTRI_LAYER_LOOPS)

template <class T>
const TypeLoops<T>& LoopsOf() {
  if constexpr (std::is_same_v<T, float>)
    return ChosenLoops().float32;
  else
    return ChosenLoops().bfloat16;
}

Affine AffineOfRow(const LayerNorm& norm, int64_t row, const Sums& sums) {
  const auto features = static_cast<double>(norm.x.features);
  const double mean = norm.root_mean_square ? 0 : sums.sum / features;
  const double variance = std::max(0.0, sums.squares / features - mean * mean);
  const double inverse = 1 / std::sqrt(variance + norm.epsilon);
  const int64_t image = row / norm.rows_per_image * norm.modulation_stride;
  return {static_cast<float>(mean),
          static_cast<float>(inverse),
          norm.scale,
          norm.shift,
          norm.image_scale != nullptr ? norm.image_scale + image : nullptr,
          norm.image_shift != nullptr ? norm.image_shift + image : nullptr};
}

template <class T>
void NormalizeRow(const LayerNorm& norm, int64_t row) {
  const T* x = reinterpret_cast<const T*>(norm.x.data) + row * norm.x.row_stride;
  T* y = reinterpret_cast<T*>(norm.y.data) + row * norm.y.row_stride;
  const int64_t features = norm.x.features;
  LoopsOf<T>().affine(x, y, features, AffineOfRow(norm, row, LoopsOf<T>().sum(x, features)));
}

}  // namespace

void Run(const LayerNorm& norm, Pool& pool) {
  constexpr int64_t kTaskElements = 1 << 14;
  const auto normalize = norm.x.type == Type::kBFloat16 ? NormalizeRow<BFloat16> : NormalizeRow<float>;
  const int64_t rows = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, norm.x.features));
  pool.Run((norm.x.rows + rows - 1) / rows, [&](int64_t task) {
    const int64_t end = std::min(norm.x.rows, (task + 1) * rows);
    for (int64_t row = task * rows; row < end; ++row) normalize(norm, row);
  });
}

}  // namespace distri::device::cpu
