#include "ops/domain.h"

namespace distri::ops {

Domain::Domain(SessionContext&)
    : domain_(ort::Make<ort::CustomOpDomainHandle>(ort::api().CreateCustomOpDomain, "distri")) {}

}  // namespace distri::ops
