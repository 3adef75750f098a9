// Attention in float32, whatever type operands have.
#include <algorithm>
#include <type_traits>

#include "device/cpu/attention_kernel.h"
#include "device/cpu/lanes.h"
#include "device/cpu/vector_math.h"
#include "ops/levels.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;

constexpr int64_t kQueries = 64;
constexpr int64_t kKeys = 96;
// Rows of a product that are computed together, so that each vector that is loaded is used as often.
constexpr int kRows = 6;

// A matrix whose element (i, j) lies at data[i * row + j * column].
struct Matrix {
  const float* data;
  int64_t row;
  int64_t column;
};

// Sums of so many terms are added up: that is rounded less often than one sum of all.
constexpr int64_t kTermsOfASum = kKeys;

// c[i][q] = decay[q] * c[i][q] + sum over j of a(i, j) * b[j][q], for R rows i and V vectors of W lanes q;
// without decay the sum alone.
template <int W, int V, int R>
DISTRI_INLINE void MultiplyTile(const Matrix& a, int64_t inner, const float* b, const float* decay,
                                float* c) {
  for (int64_t begin = 0; begin < inner; begin += kTermsOfASum) {
    const int64_t end = std::min(inner, begin + kTermsOfASum);
    Vector<W> total[R][V];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) total[r][v] = Vector<W>{};
#pragma GCC unroll 4
    for (int64_t j = begin; j < end; ++j) {
      Vector<W> row[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) row[v] = Load<W>(b + j * kQueries + v * W);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const float factor = a.data[r * a.row + j * a.column];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) total[r][v] += factor * row[v];
      }
    }
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const Vector<W> factor = begin == 0 && decay != nullptr ? Load<W>(decay + v * W) : Vector<W>{} + 1.0f;
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        float* place = c + r * kQueries + v * W;
        if (begin > 0 || decay != nullptr) total[r][v] += factor * Load<W>(place);
        Store<W>(total[r][v], place);
      }
    }
  }
}

// For V vectors of queries.
template <int W, int V>
DISTRI_INLINE void SoftmaxLanes(int64_t keys, float factor, float* scores, float* maximum, float* total,
                                float* decay) {
  Vector<W> largest[V];
  Vector<W> sum[V]{};
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) largest[v] = Load<W>(maximum + v * W);
  for (int64_t k = 0; k < keys; ++k) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const Vector<W> score = Load<W>(scores + k * kQueries + v * W);
      largest[v] = score > largest[v] ? score : largest[v];
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    const Vector<W> kept = Exp2<W>(factor * (Load<W>(maximum + v * W) - largest[v]));
    Store<W>(kept, decay + v * W);
    Store<W>(largest[v], maximum + v * W);
  }
  for (int64_t k = 0; k < keys; ++k) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      float* place = scores + k * kQueries + v * W;
      const Vector<W> weight = Exp2<W>(factor * (Load<W>(place) - largest[v]));
      Store<W>(weight, place);
      sum[v] += weight;
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v)
    Store<W>(sum[v] + Load<W>(decay + v * W) * Load<W>(total + v * W), total + v * W);
}

template <int W>
DISTRI_INLINE void AddBiasToRows(const float* bias, int64_t keys, float factor, float* scores) {
  for (int64_t k = 0; k < keys; ++k) {
    for (int64_t q = 0; q < kQueries; q += W) {
      const Vector<W> score = factor * Load<W>(scores + k * kQueries + q) + bias[k];
      Store<W>(score, scores + k * kQueries + q);
    }
  }
}

// queries[d][q] = scale * rows[q][d]; zeros where there is no query.
template <int W, class T>
DISTRI_INLINE void LoadTransposed(const QueryRows& rows, float scale, float* queries) {
  const T* source = reinterpret_cast<const T*>(rows.data);
  for (int64_t q = 0; q < kQueries; q += W) {
    int64_t d = 0;
    for (; d + W <= rows.head_size; d += W) {
      Vector<W> block[W];
#pragma GCC unroll 16
      for (int64_t i = 0; i < W; ++i)
        block[i] = q + i < rows.count ? scale * Load<W>(source + (q + i) * rows.stride + d) : Vector<W>{};
      ops::Transpose<W>(block);
#pragma GCC unroll 16
      for (int64_t i = 0; i < W; ++i) Store<W>(block[i], queries + (d + i) * kQueries + q);
    }
    for (; d < rows.head_size; ++d)
      for (int64_t i = q; i < q + W; ++i)
        queries[d * kQueries + i] = i < rows.count ? scale * ToFloat(source[i * rows.stride + d]) : 0.0f;
  }
}

template <int W, class T>
DISTRI_INLINE void StoreTransposed(const QueryState& state, const QueryRows& rows) {
  T* target = reinterpret_cast<T*>(rows.data);
  for (int64_t q = 0; q < rows.count; q += W) {
    const int64_t count = std::min<int64_t>(W, rows.count - q);
    const Vector<W> total = Load<W>(state.total + q);
    // Of no keys there are no sums either.
    const Vector<W> inverse = total == 0.0f ? Vector<W>{} : 1.0f / total;
    for (int64_t d = 0; d < rows.head_size; d += W) {
      const int64_t width = std::min<int64_t>(W, rows.head_size - d);
      Vector<W> block[W];
#pragma GCC unroll 16
      for (int64_t i = 0; i < W; ++i)
        block[i] = i < width ? inverse * Load<W>(state.sums + (d + i) * kQueries + q) : Vector<W>{};
      ops::Transpose<W>(block);
      for (int64_t i = 0; i < count; ++i) {
        T* place = target + (q + i) * rows.stride + d;
        if (width == W) {
          Store<W>(block[i], place);
        } else {
          StoreSome<W>(block[i], place, static_cast<size_t>(width));
        }
      }
    }
  }
}

template <int W, class T>
DISTRI_INLINE void PackRow(const std::byte* row, int64_t count, float* packed) {
  const T* x = reinterpret_cast<const T*>(row);
  int64_t i = 0;
  for (; i + W <= count; i += W) Store<W>(Load<W>(x + i), packed + i);
  for (; i < count; ++i) packed[i] = ToFloat(x[i]);
}

// The loops compiled for one instruction set. Each is a function of its own: inlined into one another they
// would have too few registers.
struct Loops {
  // Queries that a tile is wide.
  int64_t lanes;
  // For 1 to kRows rows.
  void (*multiply[kRows])(const Matrix& a, int64_t inner, const float* b, const float* decay, float* c);
  void (*softmax)(int64_t keys, float factor, const QueryState& state);
  void (*add_bias)(const float* bias, int64_t keys, float factor, float* scores);
  struct {
    void (*pack)(const std::byte* row, int64_t count, float* packed);
    void (*load)(const QueryRows& rows, float scale, float* queries);
    void (*store)(const QueryState& state, const QueryRows& rows);
  } float32, bfloat16;
};

#define DISTRI_ATTENTION_LOOPS(Name, TARGET, W, V)                                                  \
  struct Name {                                                                                     \
    template <int R>                                                                                \
    TARGET static void Multiply(const Matrix& a, int64_t inner, const float* b, const float* decay, \
                                float* c) {                                                         \
      MultiplyTile<W, V, R>(a, inner, b, decay, c);                                                 \
    }                                                                                               \
    TARGET static void Softmax(int64_t keys, float factor, const QueryState& s) {                   \
      for (int64_t q = 0; q < kQueries; q += W * V)                                                 \
        SoftmaxLanes<W, V>(keys, factor, s.scores + q, s.maximum + q, s.total + q, s.decay + q);    \
    }                                                                                               \
    TARGET static void AddBias(const float* bias, int64_t keys, float factor, float* scores) {      \
      AddBiasToRows<W>(bias, keys, factor, scores);                                                 \
    }                                                                                               \
    template <class T>                                                                              \
    TARGET static void Pack(const std::byte* row, int64_t count, float* packed) {                   \
      PackRow<W, T>(row, count, packed);                                                            \
    }                                                                                               \
    template <class T>                                                                              \
    TARGET static void LoadRows(const QueryRows& rows, float scale, float* queries) {               \
      LoadTransposed<W, T>(rows, scale, queries);                                                   \
    }                                                                                               \
    template <class T>                                                                              \
    TARGET static void StoreRows(const QueryState& state, const QueryRows& rows) {                  \
      StoreTransposed<W, T>(state, rows);                                                           \
    }                                                                                               \
    static constexpr Loops kLoops{                                                                  \
        W * V,                                                                                      \
        {Multiply<1>, Multiply<2>, Multiply<3>, Multiply<4>, Multiply<5>, Multiply<6>},             \
        Softmax,                                                                                    \
        AddBias,                                                                                    \
        {Pack<float>, LoadRows<float>, StoreRows<float>},                                           \
        {Pack<BFloat16>, LoadRows<BFloat16>, StoreRows<BFloat16>}};                                 \
  };

DISTRI_LEVELS(DISTRI_ATTENTION_LOOPS)

// As MultiplyTile, for as many tiles as `rows` rows and `queries` queries need.
void Multiply(int64_t rows, int64_t queries, const Matrix& a, int64_t inner, const float* b,
              const float* decay, float* c) {
  const Loops& loops = ChosenLoops();
  for (int64_t first = 0; first < queries; first += loops.lanes) {
    for (int64_t row = 0; row < rows; row += kRows) {
      const Matrix part{a.data + row * a.row, a.row, a.column};
      const auto count = static_cast<size_t>(std::min<int64_t>(kRows, rows - row));
      loops.multiply[count - 1](part, inner, b + first, decay != nullptr ? decay + first : nullptr,
                                c + row * kQueries + first);
    }
  }
}

void MultiplyKeys(const std::byte* packed, int64_t keys, const QueryRows& rows, const QueryState& state) {
  const Matrix a{reinterpret_cast<const float*>(packed), rows.head_size, 1};
  Multiply(keys, rows.count, a, rows.head_size, reinterpret_cast<const float*>(state.queries), nullptr,
           state.scores);
}

void MultiplyValues(const std::byte* packed, int64_t keys, const QueryRows& rows, const QueryState& state) {
  const Matrix a{reinterpret_cast<const float*>(packed), 1, rows.head_size};
  Multiply(rows.head_size, rows.count, a, keys, state.scores, state.decay, state.sums);
}

template <class T>
const auto& LoopsOf() {
  if constexpr (std::is_same_v<T, float>)
    return ChosenLoops().float32;
  else
    return ChosenLoops().bfloat16;
}

template <class T>
void PackRows(const KeyRows& rows, std::byte* keys, std::byte* values) {
  const auto pack = LoopsOf<T>().pack;
  for (int64_t i = 0; i < rows.count; ++i) {
    pack(rows.keys[i], rows.head_size, reinterpret_cast<float*>(keys) + i * rows.head_size);
    pack(rows.values[i], rows.head_size, reinterpret_cast<float*>(values) + i * rows.head_size);
  }
}

template <class T>
void LoadQueries(const QueryRows& rows, float scale, const QueryState& state) {
  LoopsOf<T>().load(rows, scale, reinterpret_cast<float*>(state.queries));
}

template <class T>
AttentionKernel KernelOf() {
  AttentionKernel kernel{};
  kernel.queries = kQueries;
  kernel.keys = kKeys;
  kernel.head_multiple = 1;
  kernel.key_multiple = 1;
  kernel.item_bytes = sizeof(float);
  kernel.scaled_queries = true;
  kernel.pack = PackRows<T>;
  kernel.load_queries = LoadQueries<T>;
  kernel.multiply_keys = MultiplyKeys;
  kernel.softmax = ChosenLoops().softmax;
  kernel.multiply_values = MultiplyValues;
  kernel.add_bias = ChosenLoops().add_bias;
  kernel.store = LoopsOf<T>().store;
  return kernel;
}

}  // namespace

const AttentionKernel& VectorAttentionKernel(Type type) {
  static const AttentionKernel float32 = KernelOf<float>();
  static const AttentionKernel bfloat16 = KernelOf<BFloat16>();
  return type == Type::kBFloat16 ? bfloat16 : float32;
}

}  // namespace distri::device::cpu
