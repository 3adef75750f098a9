#include "ops/gather_bands.h"

#include <stdexcept>

#include "ops/copy.h"

namespace distri::ops {

void GatherBands::InferShapes(ShapeInference& infer) {
  const Shape x = infer.Input(0);
  if (x.size() != 4) throw std::invalid_argument("expected [b, C, h, W], not " + ToString(x));
  infer.SetOutput(0, {infer.Int("batch"), x[1], infer.Int("rows"), infer.Int("columns")});
}

GatherBands::GatherBands(const KernelInfo& info, SessionContext& session)
    : batch_(info.Int("batch")), rows_(info.Int("rows")), columns_(info.Int("columns")) {
  const std::vector<int64_t> ranks = info.Ints("ranks");
  const auto list = [&](const char* name) {
    std::vector<int64_t> values = info.Ints(name);
    if (values.size() != ranks.size()) throw std::invalid_argument("its lists differ in length");
    return values;
  };
  const auto batch_start = list("batch_start"), batch_count = list("batch_count");
  const auto row_start = list("row_start"), row_count = list("row_count");
  const auto column_start = list("column_start"), column_count = list("column_count");
  own_ = ranks.size();
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (ranks[i] == session.rank) own_ = i;
    parts_.push_back({ranks[i], batch_start[i], batch_count[i], row_start[i], row_count[i], column_start[i],
                      column_count[i]});
  }
  CheckParts();
  if (ranks.size() > 1) exchange_.emplace(session, info.Int("slot"));
}

void GatherBands::CheckParts() const {
  if (own_ == parts_.size()) throw std::invalid_argument("this rank is not among its ranks");
  const auto inside = [](int64_t start, int64_t count, int64_t total) {
    return start >= 0 && count >= 0 && start + count <= total;
  };
  for (const Part& part : parts_) {
    if (inside(part.batch_start, part.batch_count, batch_) && inside(part.row_start, part.row_count, rows_) &&
        inside(part.column_start, part.column_count, columns_)) {
      continue;
    }
    throw std::invalid_argument("the part of rank " + std::to_string(part.rank) +
                                " lies outside of the output");
  }
}

void GatherBands::Compute(KernelContext& context) {
  const Input x = context.GetInput(0);
  const Part& own = parts_[own_];
  if (x.shape.size() != 4 || x.shape[0] != own.batch_count || x.shape[2] != own.row_count ||
      x.shape[3] != own.column_count) {
    throw std::invalid_argument("expected " + std::to_string(own.batch_count) + " images of " +
                                std::to_string(own.row_count) + " rows and " +
                                std::to_string(own.column_count) + " columns, not " + ToString(x.shape));
  }
  const Shape shape{batch_, x.shape[1], rows_, columns_};
  float* y = context.GetOutput(0, shape);
  // Peers may be waiting: publish first.
  if (exchange_) PublishOwn(context, x);
  CopyPart(context, own, x.data, shape, y);
  // Each rank begins with the one after it, so that not all read from the same.
  for (size_t i = 1; i < parts_.size(); ++i) {
    const Part& part = parts_[(own_ + i) % parts_.size()];
    const size_t bytes = static_cast<size_t>(part.size(shape[1])) * sizeof(float);
    const Reading reading = exchange_->Fetch(part.rank, exchange_->step().tick, bytes);
    CopyPart(context, part, reading.as<float>(), shape, y);
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
  // Rows of the whole width follow each other in the output as well.
  const bool whole_rows = part.column_count == width;
  const int64_t runs = whole_rows ? 1 : part.row_count;
  const int64_t length = whole_rows ? part.row_count * width : part.column_count;
  std::vector<Copy> copies;
  for (int64_t plane = 0; plane < part.batch_count * channels; ++plane) {
    const int64_t first = (part.batch_start * channels + plane) * y_shape[2] + part.row_start;
    for (int64_t run = 0; run < runs; ++run) {
      copies.push_back({y + (first + run) * width + part.column_start, data + (plane * runs + run) * length,
                        static_cast<size_t>(length) * sizeof(float)});
    }
  }
  CopyAll(context, copies);
}

}  // namespace distri::ops
