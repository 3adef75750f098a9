#pragma once

#include <optional>
#include <vector>

#include "ops/custom_op.h"
#include "ops/exchange.h"
#include "ops/grouped_tensor.h"
#include "ops/halo.h"

namespace distri::ops {

// Group normalisation of a band of rows with statistics of all bands: DistriFusion (CVPR 2024) section 4, and
// distrifuser, modules/pp/groupnorm.py, without its factor n / (n - 1); see docs/operators.md.
class PatchGroupNorm {
 public:
  static constexpr OpTraits kTraits{"PatchGroupNorm", 3, 1, true};
  static void InferShapes(ShapeInference& infer);

  PatchGroupNorm(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 protected:
  NormSpec spec_;

  // Writes the normalised band to `y`, which has a channel every `stride` elements.
  void Normalize(const KernelContext& context, const GroupedTensor& tensor, float* y, size_t stride) const;

 private:
  enum class Statistics { kFresh, kStale, kCorrected, kSeparate };

  // What a band publishes, per image and group.
  struct Sums {
    double sum = 0;
    double squares = 0;
    double count = 0;

    void Add(const Sums& other);
    double Mean() const { return sum / count; }
    double MeanSquare() const { return squares / count; }
    double Variance() const { return MeanSquare() - Mean() * Mean(); }
  };

  struct Distribution {
    double mean;
    double variance;
  };

  std::vector<Distribution> Combine(const std::vector<Sums>& own) const;
  std::vector<Distribution> Corrected(const std::vector<Sums>& own) const;
  // Sums over all bands at `tick`, in the order of peers, with `own` in the place of this rank's.
  std::vector<Sums> Total(const std::vector<Sums>& own, int64_t tick) const;
  void Publish(const std::vector<Sums>& own) const;

  std::vector<int64_t> peers_;
  size_t index_;
  Statistics statistics_;
  std::optional<Exchange> exchange_;
};

// The same, into the middle of a tensor with one row of each neighbour around it: what a convolution of a
// normalised band reads, without a copy between.
class PatchGroupNormHalo : public PatchGroupNorm {
 public:
  static constexpr OpTraits kTraits{"PatchGroupNormHalo", 3, 1, false};
  static void InferShapes(ShapeInference& infer);

  PatchGroupNormHalo(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 private:
  Halo halo_;
};

}  // namespace distri::ops
