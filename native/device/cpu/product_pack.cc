#include <cstring>

#include "device/cpu/bfloat16.h"
#include "device/cpu/product.h"
#include "device/cpu/product_order.h"
#include "device/cpu/product_panel.h"

namespace distri::device::cpu {
namespace {

template <class From, class To>
To Convert(From value) {
  if constexpr (std::is_same_v<From, To>)
    return value;
  else if constexpr (std::is_same_v<To, float>)
    return FromBFloat16(value);
  else
    return ToBFloat16(value);
}

// A part of a panel: `inner` elements of one segment, which begin at `source`, into a step.
template <class From, class To>
void PackStep(const Panels& panels, int64_t panel, const WeightSource& source, const From* begin,
              int64_t inner, To* step) {
  // Elements of a lane that lie next to each other.
  constexpr int64_t kGroup = sizeof(float) / sizeof(To);
  std::memset(step, 0, static_cast<size_t>(kStep * panels.lanes) * sizeof(To));
  for (int64_t lane = 0; lane < panels.lanes; ++lane) {
    const int64_t feature = panels.FeatureOf(panel, lane);
    if (feature < 0) continue;
    const From* row = begin + feature * source.feature_stride;
    for (int64_t j = 0; j < inner; ++j) {
      step[(j / kGroup * panels.lanes + lane) * kGroup + j % kGroup] =
          Convert<From, To>(row[j * source.inner_stride]);
    }
  }
}

template <class From, class To>
void Pack(const WeightShape& shape, const WeightSource& source, std::byte* packed, Pool& pool) {
  const Panels panels(shape, KernelFor(shape.type).lanes);
  const SumOrder order(shape, panels.lanes);
  const auto* weights = reinterpret_cast<const From*>(source.data);
  pool.Run(panels.Count(), [&](int64_t panel) {
    order.ForEachPass([&](const SumOrder::Pass& pass) {
      std::byte* step = packed + panel * order.PanelBytes() + pass.first_step * order.StepBytes();
      for (int64_t i = 0; i < pass.count; ++i) {
        const Part& part = pass.parts[static_cast<size_t>(i)];
        const From* begin = weights + pass.segments[static_cast<size_t>(i)] * source.segment_stride;
        for (int64_t j = 0; j < part.inner; j += kStep, step += order.StepBytes()) {
          PackStep(panels, panel, source, begin + (part.offset + j) * source.inner_stride,
                   std::min(kStep, part.inner - j), reinterpret_cast<To*>(step));
        }
      }
    });
  });
}

}  // namespace

size_t PackedBytes(const WeightShape& shape) {
  const Panels panels(shape, KernelFor(shape.type).lanes);
  return static_cast<size_t>(panels.Count() * SumOrder(shape, panels.lanes).PanelBytes());
}

void PackWeights(const WeightShape& shape, const WeightSource& source, std::byte* packed, Pool& pool) {
  const bool from_float = source.type == Type::kFloat32;
  if (shape.type == Type::kFloat32)
    (from_float ? Pack<float, float> : Pack<uint16_t, float>)(shape, source, packed, pool);
  else
    (from_float ? Pack<float, uint16_t> : Pack<uint16_t, uint16_t>)(shape, source, packed, pool);
}

}  // namespace distri::device::cpu
