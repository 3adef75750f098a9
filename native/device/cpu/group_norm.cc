#include <algorithm>
#include <cmath>
#include <type_traits>

#include "device/cpu/doubles.h"
#include "device/cpu/lanes.h"
#include "device/cpu/norms.h"
#include "device/cpu/vector_math.h"
#include "ops/levels.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;

// Channels that are taken at a time: what is kept of them stays in the first-level cache.
constexpr int64_t kChannels = 512;
// Columns that are added to the sums at once, so that these are loaded and stored less often.
constexpr int64_t kColumns = 4;

// For each channel sums over the columns of one row, in their order.
struct ChannelSums {
  alignas(64) double sum[kChannels];
  alignas(64) double squares[kChannels];
};

// y = [SiLU](factor * x + term), with a factor and a term for each channel, in the order of TwoVectors.
struct Affine {
  alignas(64) float factor[kChannels];
  alignas(64) float term[kChannels];
};

// Part of a row: some of the channels of all columns, that lie `stride` elements apart.
template <class T>
struct Columns {
  T* data;
  int64_t count;
  int64_t stride;
  int64_t channels;
};

template <class T>
using SumLoop = void (*)(const Columns<const T>& x, ChannelSums& sums);
template <class T>
using AffineLoop = void (*)(const Columns<const T>& x, const Columns<T>& y, const Affine& affine);

template <class T>
struct TypeLoops {
  SumLoop<T> sum;
  void (*arrange)(size_t channels, Affine& affine);
  AffineLoop<T> affine;
  AffineLoop<T> affine_silu;
};

// Units of a row, some of whose channels are added; see ColumnSums.
struct Units {
  const float* sums;
  const float* squares;
  int64_t count;
  int64_t stride;
  int64_t channels;
};

struct Loops {
  TypeLoops<float> float32;
  TypeLoops<BFloat16> bfloat16;
  void (*add_units)(const Units& units, ChannelSums& sums);
};

template <int D>
DISTRI_INLINE void AddTo(double* sums, const Doubles<D>& values) {
  auto* place = reinterpret_cast<DoublesInMemory<D>*>(sums);
  *place = *place + values;
}

// Adds C columns to the sums of 2 D channels.
template <int D, int C, class T>
DISTRI_INLINE void AddColumns(const T* x, int64_t stride, size_t channels, double* sum, double* squares) {
  Doubles<D> total[2]{};
  Doubles<D> total_squares[2]{};
#pragma GCC unroll 4
  for (int64_t i = 0; i < C; ++i) {
    const T* place = x + i * stride;
    const TwoVectors<D> values = channels >= 2 * D ? LoadTwo<D>(place) : LoadSomeOfTwo<D>(place, channels);
    const Doubles<D> first = ToDoubles<D>(values.first);
    const Doubles<D> second = ToDoubles<D>(values.second);
    total[0] += first;
    total[1] += second;
    total_squares[0] += first * first;
    total_squares[1] += second * second;
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    AddTo<D>(sum + i * D, total[i]);
    AddTo<D>(squares + i * D, total_squares[i]);
  }
}

// Of all channels.
template <int D, int C, class T>
DISTRI_INLINE void AddColumns(const T* x, const Columns<const T>& all, ChannelSums& sums) {
  for (int64_t c = 0; c < all.channels; c += 2 * D) {
    AddColumns<D, C>(x + c, all.stride, static_cast<size_t>(all.channels - c), sums.sum + c,
                     sums.squares + c);
  }
}

template <int D, class T>
DISTRI_INLINE void SumColumns(const Columns<const T>& x, ChannelSums& sums) {
  int64_t i = 0;
  for (; i + kColumns <= x.count; i += kColumns) AddColumns<D, kColumns>(x.data + i * x.stride, x, sums);
  for (; i < x.count; ++i) AddColumns<D, 1>(x.data + i * x.stride, x, sums);
  ArrangeBack<D, T>(sums.sum, static_cast<size_t>(x.channels));
  ArrangeBack<D, T>(sums.squares, static_cast<size_t>(x.channels));
}

DISTRI_INLINE void AddFloats(const float* values, int64_t channels, double* sums) {
#pragma omp simd
  for (int64_t c = 0; c < channels; ++c) sums[c] += values[c];
}

template <int W>
DISTRI_INLINE Vector<W> AffineOf(const Vector<W>& x, const Affine& affine, int64_t channel) {
  return x * Load<W>(affine.factor + channel) + Load<W>(affine.term + channel);
}

// As results of type T need it.
template <int W, bool kSilu, class T>
DISTRI_INLINE TwoVectors<W> AffineOf(const TwoVectors<W>& x, const Affine& affine, int64_t channel) {
  const TwoVectors<W> y{AffineOf<W>(x.first, affine, channel), AffineOf<W>(x.second, affine, channel + W)};
  if constexpr (!kSilu)
    return y;
  else if constexpr (std::is_same_v<T, float>)
    return {Silu<W>(y.first), Silu<W>(y.second)};
  else
    return RoughSilu<W>(y);
}

template <int W, bool kSilu, class T>
DISTRI_INLINE void AffineColumns(const Columns<const T>& x, const Columns<T>& y, const Affine& affine) {
  for (int64_t i = 0; i < x.count; ++i) {
    const T* from = x.data + i * x.stride;
    T* to = y.data + i * y.stride;
    int64_t c = 0;
    for (; c + 2 * W <= x.channels; c += 2 * W)
      StoreTwo<W>(AffineOf<W, kSilu, T>(LoadTwo<W>(from + c), affine, c), to + c);
    if (c == x.channels) continue;
    const auto left = static_cast<size_t>(x.channels - c);
    StoreSomeOfTwo<W>(AffineOf<W, kSilu, T>(LoadSomeOfTwo<W>(from + c, left), affine, c), to + c, left);
  }
}

#define DISTRI_GROUP_LOOPS(Name, TARGET, W, V)                                                               \
  struct Name {                                                                                              \
    template <class T>                                                                                       \
    TARGET static void Sum(const Columns<const T>& x, ChannelSums& sums) {                                   \
      SumColumns<kDoubles<W>>(x, sums);                                                                      \
    }                                                                                                        \
    template <bool kSilu, class T>                                                                           \
    TARGET static void AffineTo(const Columns<const T>& x, const Columns<T>& y, const Affine& affine) {      \
      AffineColumns<W, kSilu>(x, y, affine);                                                                 \
    }                                                                                                        \
    template <class T>                                                                                       \
    TARGET static void ArrangeAffine(size_t channels, Affine& affine) {                                      \
      Arrange<W, T>(affine.factor, channels);                                                                \
      Arrange<W, T>(affine.term, channels);                                                                  \
    }                                                                                                        \
    template <class T>                                                                                       \
    static constexpr TypeLoops<T> kLoopsOf{Sum<T>, ArrangeAffine<T>, AffineTo<false, T>, AffineTo<true, T>}; \
    TARGET static void AddUnits(const Units& units, ChannelSums& sums) {                                     \
      for (int64_t unit = 0; unit < units.count; ++unit) {                                                   \
        AddFloats(units.sums + unit * units.stride, units.channels, sums.sum);                               \
        AddFloats(units.squares + unit * units.stride, units.channels, sums.squares);                        \
      }                                                                                                      \
    }                                                                                                        \
    static constexpr Loops kLoops{kLoopsOf<float>, kLoopsOf<BFloat16>, AddUnits};                            \
  };

DISTRI_LEVELS(DISTRI_GROUP_LOOPS)

template <class T>
const TypeLoops<T>& LoopsOf() {
  if constexpr (std::is_same_v<T, float>)
    return ChosenLoops().float32;
  else
    return ChosenLoops().bfloat16;
}

template <class T>
T* RowOf(const Image& image, int64_t index, int64_t row) {
  return reinterpret_cast<T*>(image.data) + index * image.image_stride + row * image.row_stride;
}

// The sums of a row's groups, where `add(first, channels, sums)` has those of some channels.
template <class AddChannels>
void SumGroups(int64_t all_channels, int64_t groups, Sums* sums, const AddChannels& add) {
  std::fill_n(sums, groups, Sums{0, 0});
  const int64_t group_channels = all_channels / groups;
  for (int64_t first = 0; first < all_channels; first += kChannels) {
    const int64_t channels = std::min(kChannels, all_channels - first);
    ChannelSums of_channels{};
    add(first, channels, of_channels);
    for (int64_t c = 0; c < channels; ++c) {
      Sums& group = sums[(first + c) / group_channels];
      group.sum += of_channels.sum[c];
      group.squares += of_channels.squares[c];
    }
  }
}

template <class T>
void SumRow(const Image& x, int64_t index, int64_t row, int64_t groups, Sums* sums) {
  SumGroups(x.channels, groups, sums, [&](int64_t first, int64_t channels, ChannelSums& of_channels) {
    LoopsOf<T>().sum({RowOf<const T>(x, index, row) + first, x.columns, x.column_stride, channels},
                     of_channels);
  });
}

// What is done to every row of an image.
struct Normalization {
  int64_t groups;
  const Moments* moments;
  float epsilon;
  const float* scale;
  const float* shift;
  bool silu;

  // Of the channels from `first` on.
  Affine AffineOf(int64_t index, int64_t all_channels, int64_t first, int64_t channels) const {
    Affine affine{};
    const int64_t group_channels = all_channels / groups;
    double inverse = 0;
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t channel = first + c;
      const Moments& group = moments[index * groups + channel / group_channels];
      if (c == 0 || channel % group_channels == 0) {
        inverse = 1 / std::sqrt(static_cast<double>(group.variance) + epsilon);
      }
      const double factor = inverse * scale[channel];
      affine.factor[c] = static_cast<float>(factor);
      affine.term[c] = static_cast<float>(shift[channel] - group.mean * factor);
    }
    return affine;
  }
};

template <class T>
void NormalizeRows(const Image& x, const Image& y, const Normalization& norm, int64_t index, int64_t begin,
                   int64_t end) {
  const AffineLoop<T> loop = norm.silu ? LoopsOf<T>().affine_silu : LoopsOf<T>().affine;
  for (int64_t first = 0; first < x.channels; first += kChannels) {
    const int64_t channels = std::min(kChannels, x.channels - first);
    Affine affine = norm.AffineOf(index, x.channels, first, channels);
    LoopsOf<T>().arrange(static_cast<size_t>(channels), affine);
    for (int64_t row = begin; row < end; ++row) {
      loop({RowOf<const T>(x, index, row) + first, x.columns, x.column_stride, channels},
           {RowOf<T>(y, index, row) + first, x.columns, y.column_stride, channels}, affine);
    }
  }
}

}  // namespace

void SumRows(const Image& x, int64_t groups, Sums* sums, Pool& pool) {
  const auto sum_row = x.type == Type::kBFloat16 ? SumRow<BFloat16> : SumRow<float>;
  pool.Run(x.images * x.rows,
           [&](int64_t task) { sum_row(x, task / x.rows, task % x.rows, groups, sums + task * groups); });
}

void SumRows(const ColumnSums& x, int64_t images, int64_t all_channels, int64_t groups, Sums* sums,
             Pool& pool) {
  pool.Run(images * x.rows, [&](int64_t task) {
    const float* row = x.data + task / x.rows * x.image_stride + task % x.rows * x.row_stride;
    SumGroups(all_channels, groups, sums + task * groups,
              [&](int64_t first, int64_t channels, ChannelSums& of_channels) {
                ChosenLoops().add_units(
                    {row + first, row + all_channels + first, x.units, x.unit_stride, channels}, of_channels);
              });
  });
}

void NormalizeGroups(const Image& x, const Image& y, int64_t groups, const Moments* moments, float epsilon,
                     const float* scale, const float* shift, bool silu, Pool& pool) {
  // Factors of channels are computed for each task.
  constexpr int64_t kTaskElements = 1 << 16;
  const auto normalize = x.type == Type::kBFloat16 ? NormalizeRows<BFloat16> : NormalizeRows<float>;
  const Normalization norm{groups, moments, epsilon, scale, shift, silu};
  const int64_t rows = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, x.columns * x.channels));
  const int64_t tasks = (x.rows + rows - 1) / rows;
  pool.Run(x.images * tasks, [&](int64_t task) {
    const int64_t begin = task % tasks * rows;
    normalize(x, y, norm, task / tasks, begin, std::min(x.rows, begin + rows));
  });
}

}  // namespace distri::device::cpu
