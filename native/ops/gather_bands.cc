#include "ops/gather_bands.h"

#include <stdexcept>

#include "ops/copy.h"

namespace distri::ops {

void GatherBands::InferShapes(ShapeInference& infer) {
  const Shape x = infer.Input(0);
  if (x.size() != 4) throw std::invalid_argument("expected [b, C, h, W], not " + ToString(x));
  infer.SetOutput(0, {infer.Int("batch"), x[1], infer.Int("rows"), x[3]});
}

GatherBands::GatherBands(const KernelInfo& info, SessionContext& session)
    : batch_(info.Int("batch")), rows_(info.Int("rows")) {
  const std::vector<int64_t> ranks = info.Ints("ranks");
  const std::vector<int64_t> batch_start = info.Ints("batch_start");
  const std::vector<int64_t> batch_count = info.Ints("batch_count");
  const std::vector<int64_t> row_start = info.Ints("row_start");
  const std::vector<int64_t> row_count = info.Ints("row_count");
  for (const auto* list : {&batch_start, &batch_count, &row_start, &row_count}) {
    if (list->size() != ranks.size()) throw std::invalid_argument("its lists differ in length");
  }
  own_ = ranks.size();
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (ranks[i] == session.rank) own_ = i;
    parts_.push_back({ranks[i], batch_start[i], batch_count[i], row_start[i], row_count[i]});
    const Part& part = parts_.back();
    if (part.batch_start < 0 || part.batch_start + part.batch_count > batch_ || part.row_start < 0 ||
        part.row_start + part.row_count > rows_) {
      throw std::invalid_argument("the part of rank " + std::to_string(part.rank) +
                                  " lies outside of the output");
    }
  }
  if (own_ == ranks.size()) throw std::invalid_argument("this rank is not among its ranks");
  if (ranks.size() > 1) exchange_.emplace(session, info.Int("slot"));
}

void GatherBands::Compute(KernelContext& context) {
  const Input x = context.GetInput(0);
  const Part& own = parts_[own_];
  if (x.shape.size() != 4 || x.shape[0] != own.batch_count || x.shape[2] != own.row_count) {
    throw std::invalid_argument("expected " + std::to_string(own.batch_count) + " images of " +
                                std::to_string(own.row_count) + " rows, not " + ToString(x.shape));
  }
  const Shape shape{batch_, x.shape[1], rows_, x.shape[3]};
  float* y = context.GetOutput(0, shape);
  // Peers may be waiting: publish first.
  if (exchange_) PublishOwn(context, x);
  CopyPart(context, own, x.data, shape, y);
  // Each rank begins with the one after it, so that not all read from the same.
  for (size_t i = 1; i < parts_.size(); ++i) {
    const Part& part = parts_[(own_ + i) % parts_.size()];
    const size_t bytes =
        static_cast<size_t>(part.batch_count * shape[1] * part.row_count * shape[3]) * sizeof(float);
    const void* data = exchange_->Fetch(part.rank, exchange_->step().tick, bytes);
    CopyPart(context, part, static_cast<const float*>(data), shape, y);
  }
}

void GatherBands::PublishOwn(const KernelContext& context, const Input& x) const {
  const size_t bytes = static_cast<size_t>(Count(x.shape)) * sizeof(float);
  CopyAll(context, {{exchange_->Buffer(bytes), x.data, bytes}});
  exchange_->Publish();
}

void GatherBands::CopyPart(const KernelContext& context, const Part& part, const float* data,
                           const Shape& y_shape, float* y) {
  const int64_t channels = y_shape[1];
  const int64_t width = y_shape[3];
  const int64_t size = part.row_count * width;
  std::vector<Copy> copies;
  for (int64_t plane = 0; plane < part.batch_count * channels; ++plane) {
    const int64_t to = ((part.batch_start * channels + plane) * y_shape[2] + part.row_start) * width;
    copies.push_back({y + to, data + plane * size, static_cast<size_t>(size) * sizeof(float)});
  }
  CopyAll(context, copies);
}

}  // namespace distri::ops
