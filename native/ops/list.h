// The operators of domain `distri`: a new one is its files, and its place here.
#pragma once

#include "ops/all_reduce_sum.h"
#include "ops/attention.h"
#include "ops/cached_attention.h"
#include "ops/domain.h"
#include "ops/gather_bands.h"
#include "ops/group_norm.h"
#include "ops/halo_exchange.h"
#include "ops/halo_strips.h"
#include "ops/linear.h"
#include "ops/patch_group_norm.h"
#include "ops/replace_rows.h"
#include "ops/sequence_attention.h"

namespace distri::ops {

using Operators = KernelList<AllReduceSum, Attention, BiasedAttention, CachedAttention, GatherBands,
                             GroupNorm, HaloExchange, HaloStrips, Linear, PatchAttention, PatchGroupNorm,
                             PatchGroupNormHalo, ReplaceRows, SequenceAttention>;

}  // namespace distri::ops
