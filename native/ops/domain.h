// A domain of operators for one session; must outlive it.
#pragma once

#include <memory>
#include <vector>

#include "ops/custom_op.h"
#include "ops/session_context.h"
#include "ort/handles.h"

namespace distri::ops {

// Kernel classes, see custom_op.h.
template <class... Kernels>
struct KernelList {};

class Domain {
 public:
  template <class... Kernels>
  Domain(KernelList<Kernels...>, SessionContext& session)
      : domain_(ort::Make<ort::CustomOpDomainHandle>(ort::api().CreateCustomOpDomain, "distri")) {
    (Add<Kernels>(session), ...);
  }

  OrtCustomOpDomain* get() const { return domain_.get(); }

 private:
  template <class Kernel>
  void Add(SessionContext& session) {
    const auto op = std::make_shared<CustomOp<Kernel>>(session);
    ort::Check(ort::api().CustomOpDomain_Add(domain_.get(), op.get()));
    operators_.push_back(op);
  }

  std::vector<std::shared_ptr<OrtCustomOp>> operators_;
  ort::CustomOpDomainHandle domain_;
};

}  // namespace distri::ops
