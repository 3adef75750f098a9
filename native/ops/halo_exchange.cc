#include "ops/halo_exchange.h"

#include <cstring>

#include "ops/copy.h"

namespace distri::ops {
namespace {

constexpr int64_t kNobody = -1;

// What is published: [2, B, C, W], the band's first row and then its last.
enum Place : size_t { kFirstRow = 0, kLastRow = 1 };

Shape Extended(Shape shape) {
  if (shape.size() != 4 || shape[2] == 0)
    throw std::invalid_argument("expected [B, C, h, W], not " + ToString(shape));
  shape[2] += shape[2] < 0 ? 0 : 2;
  return shape;
}

size_t RowBytes(const Shape& shape) { return static_cast<size_t>(shape[3]) * sizeof(float); }

}  // namespace

void HaloExchange::InferShapes(ShapeInference& infer) { infer.SetOutput(0, Extended(infer.Input(0))); }

HaloExchange::HaloExchange(const KernelInfo& info, SessionContext& session)
    : above_(info.Int("above")), below_(info.Int("below")), fresh_(info.Int("fresh") == 1) {
  const int64_t slot = info.Int("slot");
  if (above_ != kNobody || below_ != kNobody) exchange_.emplace(session, slot);
}

void HaloExchange::Compute(KernelContext& context) {
  const Input x = context.GetInput(0);
  const Shape shape = Extended(x.shape);
  float* y = context.GetOutput(0, shape);
  // Neighbours may be waiting: publish first.
  if (exchange_ && (fresh_ || exchange_->step().publish)) PublishBorders(x);

  const size_t row = static_cast<size_t>(x.shape[3]);
  const size_t plane = static_cast<size_t>(x.shape[2]) * row;
  std::vector<Copy> copies;
  for (size_t i = 0; i < static_cast<size_t>(x.shape[0] * x.shape[1]); ++i) {
    copies.push_back({y + i * (plane + 2 * row) + row, x.data + i * plane, plane * sizeof(float)});
  }
  CopyAll(context, copies);

  FillRow(above_, kLastRow, shape, 0, y);
  FillRow(below_, kFirstRow, shape, shape[2] - 1, y);
}

void HaloExchange::PublishBorders(const Input& x) const {
  const size_t planes = static_cast<size_t>(x.shape[0] * x.shape[1]);
  const size_t row = static_cast<size_t>(x.shape[3]);
  const size_t plane = static_cast<size_t>(x.shape[2]) * row;
  auto* buffer = static_cast<float*>(exchange_->Buffer(2 * planes * RowBytes(x.shape)));
  for (size_t i = 0; i < planes; ++i) {
    const float* first = x.data + i * plane;
    std::memcpy(buffer + (kFirstRow * planes + i) * row, first, RowBytes(x.shape));
    std::memcpy(buffer + (kLastRow * planes + i) * row, first + plane - row, RowBytes(x.shape));
  }
  exchange_->Publish();
}

void HaloExchange::FillRow(int64_t peer, size_t place, const Shape& y_shape, int64_t row, float* y) const {
  const size_t planes = static_cast<size_t>(y_shape[0] * y_shape[1]);
  const size_t width = static_cast<size_t>(y_shape[3]);
  const size_t plane = static_cast<size_t>(y_shape[2]) * width;
  float* to = y + static_cast<size_t>(row) * width;
  if (peer == kNobody) {
    for (size_t i = 0; i < planes; ++i) std::memset(to + i * plane, 0, RowBytes(y_shape));
    return;
  }
  const Step& step = exchange_->step();
  const int64_t tick = fresh_ ? step.tick : step.read_tick;
  const auto* from = static_cast<const float*>(exchange_->Fetch(peer, tick, 2 * planes * RowBytes(y_shape)));
  from += place * planes * width;
  for (size_t i = 0; i < planes; ++i) std::memcpy(to + i * plane, from + i * width, RowBytes(y_shape));
}

}  // namespace distri::ops
