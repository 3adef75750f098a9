#include "ops/domain.h"

namespace distri::ops {

Domain::Domain(SessionContext& session)
    : all_reduce_sum_(session),
      attention_(session),
      gather_bands_(session),
      group_norm_(session),
      halo_exchange_(session),
      linear_(session),
      patch_attention_(session),
      patch_group_norm_(session),
      patch_group_norm_halo_(session),
      domain_(ort::Make<ort::CustomOpDomainHandle>(ort::api().CreateCustomOpDomain, "distri")) {
  const OrtCustomOp* const operators[] = {&all_reduce_sum_,  &attention_,        &gather_bands_,
                                          &group_norm_,      &halo_exchange_,    &linear_,
                                          &patch_attention_, &patch_group_norm_, &patch_group_norm_halo_};
  for (const OrtCustomOp* op : operators) ort::Check(ort::api().CustomOpDomain_Add(domain_.get(), op));
}

}  // namespace distri::ops
