#include "ops/domain.h"

namespace distri::ops {

Domain::Domain(SessionContext& session)
    : all_reduce_sum_(session),
      attention_(session),
      cached_attention_(session),
      gather_bands_(session),
      group_norm_(session),
      halo_exchange_(session),
      halo_strips_(session),
      linear_(session),
      patch_attention_(session),
      patch_group_norm_(session),
      patch_group_norm_halo_(session),
      replace_rows_(session),
      sequence_attention_(session),
      domain_(ort::Make<ort::CustomOpDomainHandle>(ort::api().CreateCustomOpDomain, "distri")) {
  const OrtCustomOp* const operators[] = {
      &all_reduce_sum_,    &attention_,        &cached_attention_,      &gather_bands_,
      &group_norm_,        &halo_exchange_,    &halo_strips_,           &linear_,
      &patch_attention_,   &patch_group_norm_, &patch_group_norm_halo_, &replace_rows_,
      &sequence_attention_};
  for (const OrtCustomOp* op : operators) ort::Check(ort::api().CustomOpDomain_Add(domain_.get(), op));
}

}  // namespace distri::ops
