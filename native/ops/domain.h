// The operators of domain `distri` for one session; must outlive it.
#pragma once

#include "ops/all_reduce_sum.h"
#include "ops/attention.h"
#include "ops/cached_attention.h"
#include "ops/gather_bands.h"
#include "ops/group_norm.h"
#include "ops/halo_exchange.h"
#include "ops/halo_strips.h"
#include "ops/linear.h"
#include "ops/patch_group_norm.h"
#include "ops/replace_rows.h"
#include "ops/sequence_attention.h"

namespace distri::ops {

class Domain {
 public:
  explicit Domain(SessionContext& session);

  OrtCustomOpDomain* get() const { return domain_.get(); }

 private:
  CustomOp<AllReduceSum> all_reduce_sum_;
  CustomOp<Attention> attention_;
  CustomOp<CachedAttention> cached_attention_;
  CustomOp<GatherBands> gather_bands_;
  CustomOp<GroupNorm> group_norm_;
  CustomOp<HaloExchange> halo_exchange_;
  CustomOp<HaloStrips> halo_strips_;
  CustomOp<Linear> linear_;
  CustomOp<PatchAttention> patch_attention_;
  CustomOp<PatchGroupNorm> patch_group_norm_;
  CustomOp<PatchGroupNormHalo> patch_group_norm_halo_;
  CustomOp<ReplaceRows> replace_rows_;
  CustomOp<SequenceAttention> sequence_attention_;
  ort::CustomOpDomainHandle domain_;
};

}  // namespace distri::ops
