#include "ops/all_reduce_sum.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "ops/copy.h"
#include "ops/loops.h"

namespace distri::ops {
namespace {

// Elements that one thread adds at a time: they stay in its cache while the sources are added one by one.
constexpr size_t kBlock = 4096;

}  // namespace

void AllReduceSum::InferShapes(ShapeInference& infer) { infer.SetOutput(0, infer.Ints("shape")); }

AllReduceSum::AllReduceSum(const KernelInfo& info, SessionContext& session)
    : peers_(info.Ints("peers")),
      sources_(info.Ints("sources")),
      index_(static_cast<size_t>(info.Int("index"))),
      shape_(info.Ints("shape")),
      count_(static_cast<size_t>(Count(shape_))),
      partial_(session, info.Int("slot")),
      share_(session, info.Int("share_slot")) {
  if (index_ >= peers_.size() || sources_.empty())
    throw std::invalid_argument("index is outside of peers, or there are no sources");
  contributes_ = std::find(sources_.begin(), sources_.end(), peers_[index_]) != sources_.end();
}

void AllReduceSum::Compute(KernelContext& context) {
  float* y = context.GetOutput(0, shape_);
  if (contributes_) PublishOwn(context, context.GetInput(0));
  if (peers_.size() <= 2) return Add(context, {0, count_}, y);
  ExchangeShares(context, y);
}

void AllReduceSum::PublishOwn(const KernelContext& context, const Input& x) const {
  if (x.shape != shape_)
    throw std::invalid_argument("expected " + ToString(shape_) + ", not " + ToString(x.shape));
  const size_t bytes = count_ * sizeof(float);
  CopyAll(context, {{partial_.Buffer(bytes), x.data, bytes}});
  partial_.Publish();
}

void AllReduceSum::Add(const KernelContext& context, const Share& share, float* to) const {
  std::vector<Reading> partials;
  const size_t size = share.end - share.begin;
  for (const int64_t source : sources_) {
    partials.push_back(partial_.FetchPart(source, partial_.step().tick, count_ * sizeof(float),
                                          share.begin * sizeof(float), share.bytes()));
  }
  context.ParallelFor((size + kBlock - 1) / kBlock, [&](size_t block) {
    const size_t begin = block * kBlock;
    const size_t length = std::min(kBlock, size - begin);
    std::memcpy(to + begin, partials[0].as<float>() + begin, length * sizeof(float));
    for (size_t i = 1; i < partials.size(); ++i) AddTo(partials[i].as<float>() + begin, to + begin, length);
  });
}

void AllReduceSum::ExchangeShares(const KernelContext& context, float* y) const {
  const Share own = ShareOf(index_);
  Add(context, own, static_cast<float*>(share_.Buffer(own.bytes())));
  share_.Publish();
  // Each rank begins with the one after it, so that not all read from the same.
  for (size_t i = 1; i <= peers_.size(); ++i) {
    const size_t peer = (index_ + i) % peers_.size();
    const Share share = ShareOf(peer);
    const Reading reading = share_.Fetch(peers_[peer], share_.step().tick, share.bytes());
    CopyAll(context, {{y + share.begin, reading.as<float>(), share.bytes()}});
  }
}

AllReduceSum::Share AllReduceSum::ShareOf(size_t peer) const {
  return {count_ * peer / peers_.size(), count_ * (peer + 1) / peers_.size()};
}

}  // namespace distri::ops
