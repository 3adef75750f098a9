#include "device/cpu/column_sums.h"

#include "device/cpu/lanes.h"
#include "ops/levels.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;

// Results of one type, `stride` elements apart.
template <class T>
struct Columns {
  const T* data;
  int64_t stride;
  int64_t count;
  int64_t width;
  bool begin;
};

template <int W, class T>
DISTRI_INLINE void AddVector(const Columns<T>& columns, int64_t lane, float* sums, float* squares) {
  Vector<W> sum{};
  Vector<W> square{};
  if (!columns.begin) {
    sum = Load<W>(sums + lane);
    square = Load<W>(squares + lane);
  }
  const T* x = columns.data + lane;
  for (int64_t i = 0; i < columns.count; ++i, x += columns.stride) {
    const Vector<W> values = Load<W>(x);
    sum += values;
    square += values * values;
  }
  Store<W>(sum, sums + lane);
  Store<W>(square, squares + lane);
}

// Lanes by themselves are rounded as those of a vector are: whatever a product's panels are, so are sums.
template <class T>
DISTRI_INLINE void AddLane(const Columns<T>& columns, int64_t lane, float* sums, float* squares) {
  float sum = columns.begin ? 0 : sums[lane];
  float square = columns.begin ? 0 : squares[lane];
  const T* x = columns.data + lane;
  for (int64_t i = 0; i < columns.count; ++i, x += columns.stride) {
    const float value = ToFloat(*x);
    sum += value;
    square += value * value;
  }
  sums[lane] = sum;
  squares[lane] = square;
}

template <int W, class T>
DISTRI_INLINE void AddAll(const Columns<T>& columns, float* sums, float* squares) {
  int64_t lane = 0;
  for (; lane + W <= columns.width; lane += W) AddVector<W>(columns, lane, sums, squares);
  for (; lane < columns.width; ++lane) AddLane(columns, lane, sums, squares);
}

struct Loops {
  void (*float32)(const Columns<float>& columns, float* sums, float* squares);
  void (*bfloat16)(const Columns<BFloat16>& columns, float* sums, float* squares);
};

#define DISTRI_COLUMN_LOOPS(Name, TARGET, W, V)                                           \
  struct Name {                                                                           \
    template <class T>                                                                    \
    TARGET static void Add(const Columns<T>& columns, float* sums, float* squares) {      \
      AddAll<W>(columns, sums, squares);                                                  \
    }                                                                                     \
    static constexpr Loops kLoops{Add<float>, Add<BFloat16>};                             \
  };

DISTRI_LEVELS(DISTRI_COLUMN_LOOPS)

}  // namespace

void AddColumns(const std::byte* results, Type type, int64_t stride, int64_t count, int64_t width, bool begin,
                float* sums, float* squares) {
  const int64_t elements = stride / static_cast<int64_t>(ItemBytes(type));
  if (type == Type::kBFloat16) {
    ChosenLoops().bfloat16({reinterpret_cast<const BFloat16*>(results), elements, count, width, begin}, sums,
                           squares);
  } else {
    ChosenLoops().float32({reinterpret_cast<const float*>(results), elements, count, width, begin}, sums,
                          squares);
  }
}

}  // namespace distri::device::cpu
