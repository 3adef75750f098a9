#include "ops/halo.h"

#include <cstring>
#include <stdexcept>

namespace distri::ops {
namespace {

constexpr int64_t kNobody = -1;

// What is published: [2, B, C, W], the band's first row and then its last.
enum Place : size_t { kFirstRow = 0, kLastRow = 1 };

}  // namespace

Halo::Halo(const KernelInfo& info, SessionContext& session, const char* slot)
    : above_(info.Int("above")), below_(info.Int("below")), fresh_(info.Int("fresh") == 1) {
  if (above_ != kNobody || below_ != kNobody) exchange_.emplace(session, info.Int(slot));
}

Shape Halo::Extended(Shape shape) {
  if (shape.size() != 4 || shape[2] == 0)
    throw std::invalid_argument("expected [B, C, h, W], not " + ToString(shape));
  shape[2] += shape[2] < 0 ? 0 : 2;
  return shape;
}

void Halo::Publish(const BandRows& band) const {
  if (!exchange_ || !(fresh_ || exchange_->step().publish)) return;
  const size_t row_bytes = band.width * sizeof(float);
  auto* buffer = static_cast<float*>(exchange_->Buffer(2 * band.planes * row_bytes));
  for (size_t i = 0; i < band.planes; ++i) {
    const float* first = band.data + i * band.stride;
    const float* last = first + (band.rows - 1) * band.width;
    std::memcpy(buffer + (kFirstRow * band.planes + i) * band.width, first, row_bytes);
    std::memcpy(buffer + (kLastRow * band.planes + i) * band.width, last, row_bytes);
  }
  exchange_->Publish();
}

void Halo::Fill(const Shape& y_shape, float* y) const {
  FillRow(above_, kLastRow, y_shape, 0, y);
  FillRow(below_, kFirstRow, y_shape, y_shape[2] - 1, y);
}

void Halo::FillRow(int64_t peer, size_t place, const Shape& y_shape, int64_t row, float* y) const {
  const size_t planes = static_cast<size_t>(y_shape[0] * y_shape[1]);
  const size_t width = static_cast<size_t>(y_shape[3]);
  const size_t row_bytes = width * sizeof(float);
  const size_t plane = static_cast<size_t>(y_shape[2]) * width;
  float* to = y + static_cast<size_t>(row) * width;
  if (peer == kNobody) {
    for (size_t i = 0; i < planes; ++i) std::memset(to + i * plane, 0, row_bytes);
    return;
  }
  const Step& step = exchange_->step();
  const int64_t tick = fresh_ ? step.tick : step.read_tick;
  const size_t strip = planes * row_bytes;
  const Reading reading = exchange_->FetchPart(peer, tick, 2 * strip, place * strip, strip);
  const auto* from = reading.as<float>();
  for (size_t i = 0; i < planes; ++i) std::memcpy(to + i * plane, from + i * width, row_bytes);
}

}  // namespace distri::ops
