#include "ops/patch_group_norm.h"

#include <algorithm>
#include <stdexcept>

namespace distri::ops {

void PatchGroupNorm::InferShapes(ShapeInference& infer) { infer.SetOutput(0, infer.Input(0)); }

PatchGroupNorm::PatchGroupNorm(const KernelInfo& info, SessionContext& session)
    : spec_(info), peers_(info.Ints("peers")), index_(static_cast<size_t>(info.Int("index"))) {
  const int64_t statistics = info.Int("statistics");
  const int64_t slot = info.Int("slot");
  if (statistics < 0 || statistics > 3)
    throw std::invalid_argument("statistics is " + std::to_string(statistics));
  if (index_ >= peers_.size()) throw std::invalid_argument("index is outside of peers");
  statistics_ = static_cast<Statistics>(statistics);
  if (peers_.size() > 1) exchange_.emplace(session, slot);
}

void PatchGroupNorm::Compute(KernelContext& context) {
  const GroupedTensor tensor(context, spec_);
  Normalize(context, tensor, context.GetOutput(0, tensor.x().shape), tensor.channel_size());
}

void PatchGroupNorm::Normalize(const KernelContext& context, const GroupedTensor& tensor, float* y,
                               size_t stride) const {
  const double size = static_cast<double>(tensor.group_size());
  std::vector<Sums> own(tensor.count());
  context.ParallelFor(own.size(), [&](size_t i) {
    const Moments moments = tensor.GroupMoments(i);
    own[i] = {moments.sum, moments.squares, size};
  });
  const std::vector<Distribution> combined = Combine(own);
  context.ParallelFor(combined.size(), [&](size_t i) {
    tensor.Normalize(i, combined[i].mean, combined[i].variance, y, stride);
  });
}

std::vector<PatchGroupNorm::Distribution> PatchGroupNorm::Combine(const std::vector<Sums>& own) const {
  std::vector<Sums> total = own;
  if (exchange_ && (statistics_ != Statistics::kSeparate || exchange_->synchronous())) {
    const Step& step = exchange_->step();
    if (step.publish || statistics_ == Statistics::kFresh) Publish(own);
    if (statistics_ == Statistics::kCorrected && !exchange_->synchronous()) return Corrected(own);
    total = Total(own, statistics_ == Statistics::kFresh ? step.tick : step.read_tick);
  }
  std::vector<Distribution> result;
  for (size_t i = 0; i < own.size(); ++i) {
    const bool fallback = statistics_ == Statistics::kCorrected && total[i].Variance() < 0;
    result.push_back({total[i].Mean(), fallback ? own[i].Variance() : total[i].Variance()});
  }
  return result;
}

std::vector<PatchGroupNorm::Distribution> PatchGroupNorm::Corrected(const std::vector<Sums>& own) const {
  const int64_t tick = exchange_->step().read_tick;
  const Reading reading = exchange_->Fetch(peers_[index_], tick, own.size() * sizeof(Sums));
  const std::vector<Sums> before(reading.as<Sums>(), reading.as<Sums>() + own.size());
  const std::vector<Sums> total = Total(before, tick);
  std::vector<Distribution> result;
  for (size_t i = 0; i < own.size(); ++i) {
    const double mean = total[i].Mean() + (own[i].Mean() - before[i].Mean());
    const double square = total[i].MeanSquare() + (own[i].MeanSquare() - before[i].MeanSquare());
    const double variance = square - mean * mean;
    result.push_back({mean, variance < 0 ? own[i].Variance() : variance});
  }
  return result;
}

std::vector<PatchGroupNorm::Sums> PatchGroupNorm::Total(const std::vector<Sums>& own, int64_t tick) const {
  std::vector<Sums> total(own.size());
  const auto add = [&](const Sums* band) {
    for (size_t i = 0; i < total.size(); ++i) total[i].Add(band[i]);
  };
  for (size_t peer = 0; peer < peers_.size(); ++peer) {
    if (peer == index_) {
      add(own.data());
    } else {
      add(exchange_->Fetch(peers_[peer], tick, own.size() * sizeof(Sums)).as<Sums>());
    }
  }
  return total;
}

void PatchGroupNorm::Publish(const std::vector<Sums>& own) const {
  auto* buffer = static_cast<Sums*>(exchange_->Buffer(own.size() * sizeof(Sums)));
  std::copy(own.begin(), own.end(), buffer);
  exchange_->Publish();
}

void PatchGroupNormHalo::InferShapes(ShapeInference& infer) {
  infer.SetOutput(0, Halo::Extended(infer.Input(0)));
}

PatchGroupNormHalo::PatchGroupNormHalo(const KernelInfo& info, SessionContext& session)
    : PatchGroupNorm(info, session), halo_(info, session, "halo_slot") {}

void PatchGroupNormHalo::Compute(KernelContext& context) {
  const GroupedTensor tensor(context, spec_);
  const Shape& band = tensor.x().shape;
  const Shape shape = Halo::Extended(band);
  float* y = context.GetOutput(0, shape);
  const size_t width = static_cast<size_t>(shape[3]);
  const size_t stride = static_cast<size_t>(shape[2]) * width;
  float* inside = y + width;
  Normalize(context, tensor, inside, stride);
  const size_t planes = static_cast<size_t>(shape[0] * shape[1]);
  halo_.Publish({inside, planes, static_cast<size_t>(band[2]), width, stride});
  halo_.Fill(shape, y);
}

void PatchGroupNorm::Sums::Add(const Sums& other) {
  sum += other.sum;
  squares += other.squares;
  count += other.count;
}

}  // namespace distri::ops
