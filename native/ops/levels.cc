#include "ops/levels.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__) && defined(DISTRI_HAS_LEVELS)
#include <cpuid.h>
#endif
#if defined(DISTRI_HAS_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace distri::ops {
namespace {

#if defined(__x86_64__) && defined(DISTRI_HAS_LEVELS)

// Not every compiler that knows the levels knows these by name.
bool HasBf16() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax >> 5 & 1);
}

#if defined(DISTRI_HAS_AMX)
// Linux gives the state of tiles to processes that ask for it, once; where it does not know of tiles, it
// refuses.
bool HasAmx() {
  constexpr unsigned kTilesAndBf16 = 1u << 24 | 1u << 22;
  constexpr long kRequestPermission = 0x1023;
  constexpr long kTileData = 18;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (edx & kTilesAndBf16) == kTilesAndBf16 &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#else
bool HasAmx() { return false; }
#endif

Level BestLevel() {
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v4 && HasBf16()) return HasAmx() ? Level::kAmx : Level::kBf16;
  return v4 ? Level::kV4 : v3 ? Level::kV3 : Level::kNarrow;
}

#else

Level BestLevel() { return Level::kNarrow; }

#endif

Level NamedLevel() {
  const char* wanted = std::getenv("DISTRI_SIMD");
  for (size_t index = 0; wanted != nullptr && index < kLevelNames.size(); ++index) {
    if (std::strcmp(wanted, kLevelNames[index]) == 0) return static_cast<Level>(index);
  }
  return Level::kAmx;
}

}  // namespace

Level ChosenLevel() {
  static const Level level = std::min(BestLevel(), NamedLevel());
  return level;
}

}  // namespace distri::ops
