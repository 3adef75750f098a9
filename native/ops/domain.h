// The operators of domain `distri` for one session. Must outlive the session.
#pragma once

#include "ops/custom_op.h"
#include "ops/session_context.h"
#include "ort/handles.h"

namespace distri::ops {

class Domain {
 public:
  explicit Domain(SessionContext& session);

  OrtCustomOpDomain* get() const { return domain_.get(); }

 private:
  ort::CustomOpDomainHandle domain_;
};

}  // namespace distri::ops
