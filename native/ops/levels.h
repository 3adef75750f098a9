// Loops compiled for several instruction sets, one of which is chosen when they are first used: a build runs
// on every machine.
#pragma once

#include <array>

namespace distri::ops {

// Instruction sets, each with all before it, by the names of x86-64's levels and of what comes on top of
// them: AVX512_BF16 and AMX's products of bfloat16. Other processors have the first alone.
enum class Level { kNarrow, kV3, kV4, kBf16, kAmx };

// In the order of the levels.
constexpr std::array<const char*, 5> kLevelNames = {"narrow", "v3", "v4", "bf16", "amx"};

// The best that this processor has. DISTRI_SIMD names one that is to be used at most.
Level ChosenLevel();

// One of three versions.
template <class Loops>
const Loops& Choose(const Loops& narrow, const Loops& v3, const Loops& v4) {
  switch (ChosenLevel()) {
    case Level::kAmx:
    case Level::kBf16:
    case Level::kV4:
      return v4;
    case Level::kV3:
      return v3;
    case Level::kNarrow:
      break;
  }
  return narrow;
}

}  // namespace distri::ops

// Defines, with LOOPS(Name, TARGET, W, V), a structure per instruction set that has loops with V vectors of W
// floats and a constant kLoops of type Loops, and ChosenLoops(). Loops that the compiler vectorises by itself
// take TARGET alone.
#if defined(__x86_64__) && defined(DISTRI_HAS_LEVELS)

#define DISTRI_LEVELS(LOOPS)                                                    \
  LOOPS(Narrow, , 4, 2)                                                         \
  LOOPS(V3, __attribute__((target("arch=x86-64-v3"))), 8, 2)                    \
  LOOPS(V4, __attribute__((target("arch=x86-64-v4"))), 16, 4)                   \
  const Loops& ChosenLoops() {                                                  \
    static const Loops& loops = Choose(Narrow::kLoops, V3::kLoops, V4::kLoops); \
    return loops;                                                               \
  }

#else

// SSE2 and NEON have vectors of four floats.
#define DISTRI_LEVELS(LOOPS) \
  LOOPS(Narrow, , 4, 2)      \
  const Loops& ChosenLoops() { return Narrow::kLoops; }

#endif
