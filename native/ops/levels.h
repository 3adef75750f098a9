// Loops compiled for several instruction sets, one of which is chosen when they are first used: a build runs
// on every machine. For loops on vectors of a given width; those that the compiler vectorises have
// DISTRI_CLONES.
#pragma once

// Defines, with LOOPS(Name, TARGET, W, V), a structure per instruction set that has loops with V vectors of W
// floats and a constant kLoops of type Loops, and ChosenLoops().
#if defined(__x86_64__) && defined(DISTRI_CLONES)

#define DISTRI_LEVELS(LOOPS)                                                                 \
  LOOPS(Narrow, , 4, 2)                                                                      \
  LOOPS(V3, __attribute__((target("arch=x86-64-v3"))), 8, 2)                                 \
  LOOPS(V4, __attribute__((target("arch=x86-64-v4"))), 16, 4)                                \
  const Loops& ChosenLoops() {                                                               \
    static const Loops& loops =                                                              \
        __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") ? V4::kLoops \
        : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")       ? V3::kLoops \
                                                                                : Narrow::kLoops;  \
    return loops;                                                                            \
  }

#else

// SSE2 and NEON have vectors of four floats.
#define DISTRI_LEVELS(LOOPS) \
  LOOPS(Narrow, , 4, 2)      \
  const Loops& ChosenLoops() { return Narrow::kLoops; }

#endif
