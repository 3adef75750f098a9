#pragma once

#include <vector>

#include "ops/custom_op.h"
#include "ops/exchange.h"

namespace distri::ops {

// The sum of the ranks' partial results, always of this step and added in the order of `sources`: equal to
// the bit on all ranks and from run to run.
//
// With two ranks each adds both results. With more, each adds its share of the elements and hands it to the
// others, so that a rank reads two results' worth whatever the number of ranks.
class AllReduceSum {
 public:
  static constexpr OpTraits kTraits{"AllReduceSum", 1, 1, false};
  static void InferShapes(ShapeInference& infer);

  AllReduceSum(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 private:
  // Elements [begin, end) of the result.
  struct Share {
    size_t begin;
    size_t end;

    size_t bytes() const { return (end - begin) * sizeof(float); }
  };

  void PublishOwn(const KernelContext& context, const Input& x) const;
  // Sums a share of all sources into `to`.
  void Add(const KernelContext& context, const Share& share, float* to) const;
  void ExchangeShares(const KernelContext& context, float* y) const;
  Share ShareOf(size_t peer) const;

  std::vector<int64_t> peers_;
  std::vector<int64_t> sources_;
  size_t index_;
  bool contributes_;
  Shape shape_;
  size_t count_;
  Exchange partial_;
  Exchange share_;
};

}  // namespace distri::ops
