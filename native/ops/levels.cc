#include "ops/levels.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace distri::ops {
namespace {

Level BestLevel() {
#if defined(__x86_64__) && defined(DISTRI_HAS_LEVELS)
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  return v4 ? Level::kV4 : v3 ? Level::kV3 : Level::kNarrow;
#else
  return Level::kNarrow;
#endif
}

Level NamedLevel() {
  const char* name = std::getenv("DISTRI_SIMD");
  if (name != nullptr && std::strcmp(name, "narrow") == 0) return Level::kNarrow;
  if (name != nullptr && std::strcmp(name, "v3") == 0) return Level::kV3;
  return Level::kV4;
}

}  // namespace

Level ChosenLevel() {
  static const Level level = std::min(BestLevel(), NamedLevel());
  return level;
}

}  // namespace distri::ops
