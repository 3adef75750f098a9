#include <algorithm>
#include <cstring>

#include "device/cpu/bfloat16.h"
#include "device/cpu/product.h"
#include "device/cpu/product_order.h"
#include "device/cpu/product_panel.h"
#include "ops/levels.h"

// A step is converted row by row into the first-level cache, and put in order from there in words: a float32,
// or a pair of bfloat16.
namespace distri::device::cpu {
namespace {

using ops::Choose;

template <class From, class To>
DISTRI_INLINE To Convert(From value) {
  if constexpr (std::is_same_v<From, To>)
    return value;
  else if constexpr (std::is_same_v<To, float>)
    return FromBFloat16(value);
  else
    return ToBFloat16(value);
}

// Elements that are not there stay as they are.
template <class From, class To>
DISTRI_INLINE void ConvertRow(const From* source, int64_t stride, int64_t count, To* row) {
  if (stride == 1 && count == kStep) {
    for (int64_t j = 0; j < kStep; ++j) row[j] = Convert<From, To>(source[j]);
    return;
  }
  for (int64_t j = 0; j < count; ++j) row[j] = Convert<From, To>(source[j * stride]);
}

// Words `[lanes][words]` to `[words][lanes]`; lanes are a multiple of eight.
DISTRI_INLINE void Transpose(const uint32_t* rows, int64_t lanes, int64_t words, uint32_t* step) {
  constexpr int64_t kTogether = 8;
  for (int64_t first = 0; first < lanes; first += kTogether) {
    for (int64_t word = 0; word < words; ++word) {
      for (int64_t lane = first; lane < first + kTogether; ++lane)
        step[word * lanes + lane] = rows[lane * words + word];
    }
  }
}

// Elements of a segment's inner dimension that make a step of a panel.
struct StepPacking {
  const Panels& panels;
  const WeightSource& source;
  int64_t panel;
  // Of the first feature's first one, in elements.
  int64_t begin;
  int64_t inner;
  std::byte* step;
};

template <class From, class To>
DISTRI_INLINE void PackStep(const StepPacking& packing) {
  constexpr int64_t kWords =
      kStep * static_cast<int64_t>(sizeof(To)) / static_cast<int64_t>(sizeof(uint32_t));
  uint32_t rows[kMaxLanes * kWords];
  const auto& [panels, source, panel, begin, inner, step] = packing;
  const auto* weights = reinterpret_cast<const From*>(source.data) + begin;
  for (int64_t lane = 0; lane < panels.lanes; ++lane) {
    const int64_t feature = panels.FeatureOf(panel, lane);
    To row[kStep] = {};
    if (feature >= 0)
      ConvertRow<From, To>(weights + feature * source.feature_stride, source.inner_stride, inner, row);
    std::memcpy(rows + lane * kWords, row, sizeof row);
  }
  Transpose(rows, panels.lanes, kWords, reinterpret_cast<uint32_t*>(step));
}

using PackFunction = void (*)(const StepPacking& packing);

// By type of the source and of what is packed, whether they are bfloat16.
struct Loops {
  PackFunction pack[2][2];
};

#define DISTRI_PACK_LOOPS(Name, TARGET, W, V)                                                              \
  struct Name {                                                                                            \
    template <class From, class To>                                                                        \
    TARGET static void Pack(const StepPacking& packing) {                                                  \
      PackStep<From, To>(packing);                                                                         \
    }                                                                                                      \
    static constexpr Loops kLoops{                                                                         \
        {{Pack<float, float>, Pack<float, uint16_t>}, {Pack<uint16_t, float>, Pack<uint16_t, uint16_t>}}}; \
  };

DISTRI_LEVELS(DISTRI_PACK_LOOPS)

// Raised when packed weights of the same number of lanes get other bytes, so that no file of older ones is
// used; a test knows what bytes belong to it.
constexpr int kPackingVersion = 1;

}  // namespace

PackingLayout LayoutOf(Type type) { return {kPackingVersion, KernelFor(type).lanes}; }

size_t PackedBytes(const WeightShape& shape) {
  const Panels panels(shape, KernelFor(shape.type).lanes);
  return static_cast<size_t>(panels.Count() * SumOrder(shape, panels.lanes).PanelBytes());
}

void PackWeights(const WeightShape& shape, const WeightSource& source, std::byte* packed, Pool& pool) {
  const Panels panels(shape, KernelFor(shape.type).lanes);
  const SumOrder order(shape, panels.lanes);
  const PackFunction pack = ChosenLoops().pack[source.type == Type::kBFloat16][shape.type == Type::kBFloat16];
  pool.Run(panels.Count(), [&](int64_t panel) {
    order.ForEachPass([&](const SumOrder::Pass& pass) {
      std::byte* step = packed + panel * order.PanelBytes() + pass.first_step * order.StepBytes();
      for (int64_t i = 0; i < pass.count; ++i) {
        const Part& part = pass.parts[static_cast<size_t>(i)];
        const int64_t segment = pass.segments[static_cast<size_t>(i)];
        for (int64_t j = 0; j < part.inner; j += kStep, step += order.StepBytes()) {
          const int64_t begin = segment * source.segment_stride + (part.offset + j) * source.inner_stride;
          pack({panels, source, panel, begin, std::min(kStep, part.inner - j), step});
        }
      }
    });
  });
}

}  // namespace distri::device::cpu
