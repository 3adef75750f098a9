#pragma once

#include <optional>
#include <vector>

#include "ops/custom_op.h"
#include "ops/exchange.h"

namespace distri::ops {

// Keys and values of all bands, as the self attention of distrifuser (modules/pp/attn.py) uses them.
class GatherTokens {
 public:
  static constexpr OpTraits kTraits{"GatherTokens", 2, 2, false};
  static void InferShapes(ShapeInference& infer);

  GatherTokens(const KernelInfo& info, SessionContext& session);
  void Compute(KernelContext& context);

 private:
  struct Tensors {
    int64_t batch;
    int64_t channels;
    const float* own[2];
    float* all[2];
  };

  void PublishOwn(const KernelContext& context, const Tensors& tensors) const;
  void CopyPart(const KernelContext& context, const Tensors& tensors, size_t part, const float* keys,
                const float* values) const;
  size_t PartSize(const Tensors& tensors, size_t part) const;

  std::vector<int64_t> peers_;
  std::vector<int64_t> tokens_;
  size_t index_;
  bool fresh_;
  std::optional<Exchange> exchange_;
};

}  // namespace distri::ops
