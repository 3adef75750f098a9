#include "ops/levels.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#if defined(DISTRI_HAS_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace distri::ops {
namespace {

#if defined(__x86_64__) && defined(DISTRI_HAS_LEVELS)

bool HasBf16() {
#if defined(DISTRI_HAS_BF16)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

// Linux saves a process's tiles only when it was asked to.
bool HasAmx() {
#if defined(DISTRI_HAS_AMX)
  constexpr int kRequestPermission = 0x1023;
  constexpr int kTileData = 18;
  return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

Level BestLevel() {
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (!v4) return v3 ? Level::kV3 : Level::kNarrow;
  if (!HasBf16()) return Level::kV4;
  return HasAmx() ? Level::kAmx : Level::kBf16;
}

#else

Level BestLevel() { return Level::kNarrow; }

#endif

Level NamedLevel() {
  constexpr std::pair<const char*, Level> kNames[] = {
      {"narrow", Level::kNarrow}, {"v3", Level::kV3}, {"v4", Level::kV4}, {"bf16", Level::kBf16}};
  const char* wanted = std::getenv("DISTRI_SIMD");
  for (const auto& [name, level] : kNames) {
    if (wanted != nullptr && std::strcmp(wanted, name) == 0) return level;
  }
  return Level::kAmx;
}

}  // namespace

Level ChosenLevel() {
  static const Level level = std::min(BestLevel(), NamedLevel());
  return level;
}

}  // namespace distri::ops
