#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>

#include "device/cpu/doubles.h"
#include "device/cpu/lanes.h"
#include "device/cpu/norms.h"
#include "ops/levels.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;

// Features that are taken at a time: factors of so many stay in the first-level cache.
constexpr int64_t kFeatures = 512;
constexpr int64_t kMostRows = 64;

// y = factor * (x - mean) * inverse + term, with a factor and a term for each feature, in the order of
// TwoVectors.
struct Affine {
  alignas(64) float factor[kFeatures];
  alignas(64) float term[kFeatures];
};

struct Statistics {
  float mean;
  float inverse;
};

template <class T>
struct TypeLoops {
  Sums (*sum)(const T* x, int64_t features);
  void (*affine)(const T* x, T* y, int64_t features, const Statistics& row, const Affine& affine);
  void (*arrange)(size_t features, Affine& affine);
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

// Two sums of every other vector side by side, so that none waits for the one before.
template <int D, class T>
DISTRI_INLINE Sums SumFeatures(const T* x, int64_t features) {
  VectorSums<D> sums[4];
  int64_t i = 0;
  for (; i + 4 * D <= features; i += 4 * D) {
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      const TwoVectors<D> values = LoadTwo<D>(x + i + 2 * v * D);
      sums[2 * v].Add(ToDoubles<D>(values.first));
      sums[2 * v + 1].Add(ToDoubles<D>(values.second));
    }
  }
  for (; i < features; i += 2 * D) {
    const TwoVectors<D> values =
        LoadSomeOfTwo<D>(x + i, static_cast<size_t>(std::min<int64_t>(2 * D, features - i)));
    sums[0].Add(ToDoubles<D>(values.first));
    sums[1].Add(ToDoubles<D>(values.second));
  }
#pragma GCC unroll 4
  for (int v = 1; v < 4; ++v) {
    sums[0].sum += sums[v].sum;
    sums[0].squares += sums[v].squares;
  }
  return {Total<D>(sums[0].sum), Total<D>(sums[0].squares)};
}

template <int W>
DISTRI_INLINE Vector<W> AffineOf(const Vector<W>& x, const Statistics& row, const Affine& affine,
                                 int64_t place) {
  return (x - row.mean) * row.inverse * Load<W>(affine.factor + place) + Load<W>(affine.term + place);
}

template <int W>
DISTRI_INLINE TwoVectors<W> AffineOf(const TwoVectors<W>& x, const Statistics& row, const Affine& affine,
                                     int64_t place) {
  return {AffineOf<W>(x.first, row, affine, place), AffineOf<W>(x.second, row, affine, place + W)};
}

template <int W, class T>
DISTRI_INLINE void AffineFeatures(const T* x, T* y, int64_t features, const Statistics& row,
                                  const Affine& affine) {
  int64_t i = 0;
  for (; i + 2 * W <= features; i += 2 * W)
    StoreTwo<W>(AffineOf<W>(LoadTwo<W>(x + i), row, affine, i), y + i);
  if (i == features) return;
  const auto left = static_cast<size_t>(features - i);
  StoreSomeOfTwo<W>(AffineOf<W>(LoadSomeOfTwo<W>(x + i, left), row, affine, i), y + i, left);
}

#define DISTRI_LAYER_LOOPS(Name, TARGET, W, V)                                             \
  struct Name {                                                                            \
    template <class T>                                                                     \
    TARGET static Sums Sum(const T* x, int64_t features) {                                 \
      return SumFeatures<kDoubles<W>>(x, features);                                        \
    }                                                                                      \
    template <class T>                                                                     \
    TARGET static void AffineTo(const T* x, T* y, int64_t features, const Statistics& row, \
                                const Affine& affine) {                                    \
      AffineFeatures<W>(x, y, features, row, affine);                                      \
    }                                                                                      \
    template <class T>                                                                     \
    TARGET static void ArrangeAffine(size_t features, Affine& affine) {                    \
      Arrange<W, T>(affine.factor, features);                                              \
      Arrange<W, T>(affine.term, features);                                                \
    }                                                                                      \
    template <class T>                                                                     \
    static constexpr TypeLoops<T> kLoopsOf{Sum<T>, AffineTo<T>, ArrangeAffine<T>};         \
    static constexpr Loops kLoops{kLoopsOf<float>, kLoopsOf<BFloat16>};                    \
  };

DISTRI_LEVELS(DISTRI_LAYER_LOOPS)

template <class T>
const TypeLoops<T>& LoopsOf() {
  if constexpr (std::is_same_v<T, float>)
    return ChosenLoops().float32;
  else
    return ChosenLoops().bfloat16;
}

Statistics StatisticsOf(const LayerNorm& norm, const Sums& sums) {
  const auto features = static_cast<double>(norm.x.features);
  const double mean = norm.root_mean_square ? 0 : sums.sum / features;
  const double variance = std::max(0.0, sums.squares / features - mean * mean);
  return {static_cast<float>(mean), static_cast<float>(1 / std::sqrt(variance + norm.epsilon))};
}

// Of `count` features from `first` on.
void FillAffine(const LayerNorm& norm, int64_t image, int64_t first, int64_t count, Affine& affine) {
  std::fill_n(affine.factor, count, 1.0f);
  std::fill_n(affine.term, count, 0.0f);
  if (norm.scale != nullptr) std::copy_n(norm.scale + first, count, affine.factor);
  if (norm.shift != nullptr) std::copy_n(norm.shift + first, count, affine.term);
  const int64_t scale = image * norm.image_scale_stride + first;
  for (int64_t i = 0; i < count && norm.image_scale != nullptr; ++i) {
    const float factor = 1 + norm.image_scale[scale + i];
    affine.factor[i] *= factor;
    affine.term[i] *= factor;
  }
  const int64_t shift = image * norm.image_shift_stride + first;
  for (int64_t i = 0; i < count && norm.image_shift != nullptr; ++i) {
    affine.term[i] += norm.image_shift[shift + i];
  }
}

template <class T>
T* RowOf(const FeatureRows& rows, int64_t row) {
  return reinterpret_cast<T*>(rows.data) + row * rows.row_stride;
}

// Rows [begin, end), at most kMostRows of one image.
template <class T>
void NormalizeRows(const LayerNorm& norm, int64_t begin, int64_t end) {
  const TypeLoops<T>& loops = LoopsOf<T>();
  std::array<Statistics, kMostRows> statistics;
  for (int64_t row = begin; row < end; ++row) {
    const Sums sums = loops.sum(RowOf<const T>(norm.x, row), norm.x.features);
    statistics[static_cast<size_t>(row - begin)] = StatisticsOf(norm, sums);
  }
  Affine affine{};
  for (int64_t first = 0; first < norm.x.features; first += kFeatures) {
    const int64_t count = std::min(kFeatures, norm.x.features - first);
    FillAffine(norm, begin / norm.rows_per_image, first, count, affine);
    loops.arrange(static_cast<size_t>(count), affine);
    for (int64_t row = begin; row < end; ++row) {
      loops.affine(RowOf<const T>(norm.x, row) + first, RowOf<T>(norm.y, row) + first, count,
                   statistics[static_cast<size_t>(row - begin)], affine);
    }
  }
}

}  // namespace

void Run(const LayerNorm& norm, Pool& pool) {
  constexpr int64_t kTaskElements = 1 << 15;
  const auto normalize = norm.x.type == Type::kBFloat16 ? NormalizeRows<BFloat16> : NormalizeRows<float>;
  const bool modulated = norm.image_scale != nullptr || norm.image_shift != nullptr;
  const int64_t image_rows = modulated ? norm.rows_per_image : std::max<int64_t>(1, norm.x.rows);
  const int64_t fitting = kTaskElements / std::max<int64_t>(1, norm.x.features);
  const int64_t rows = std::clamp<int64_t>(fitting, 1, kMostRows);
  const int64_t tasks = (image_rows + rows - 1) / rows;
  const int64_t images = (norm.x.rows + image_rows - 1) / image_rows;
  pool.Run(images * tasks, [&](int64_t task) {
    const int64_t image = task / tasks * image_rows;
    const int64_t begin = image + task % tasks * rows;
    const int64_t end = std::min({begin + rows, image + image_rows, norm.x.rows});
    if (begin < end) normalize(norm, begin, end);
  });
}

}  // namespace distri::device::cpu
