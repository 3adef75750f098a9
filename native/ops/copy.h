// Many copies at once, on all threads of the session.
#pragma once

#include <vector>

#include "ops/kernel.h"

namespace distri::ops {

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};

void CopyAll(const KernelContext& context, const std::vector<Copy>& copies);

}  // namespace distri::ops
