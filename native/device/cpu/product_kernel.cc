#include "device/cpu/product_kernel.h"

#include "ops/levels.h"

namespace distri::device::cpu {

const ProductKernel& KernelFor(Type type) {
  if (type == Type::kFloat32) return Float32Kernel();
#if defined(DISTRI_HAS_AMX)
  if (ops::ChosenLevel() == ops::Level::kAmx) return AmxKernel();
#endif
#if defined(DISTRI_HAS_BF16)
  if (ops::ChosenLevel() >= ops::Level::kBf16) return Bf16Kernel();
#endif
  return WideningKernel();
}

}  // namespace distri::device::cpu
