#include <atomic>
#include <vector>

#include "device/cpu/pool.h"
#include "test/device/tests.h"

namespace distri::test {
namespace {

using device::cpu::Pool;

// Jobs of all sizes one behind the other, and after pauses in which threads fall asleep.
void EveryTaskRunsOnceAndItsWritesAreSeen() {
  for (const int threads : {1, 2, 4}) {
    Pool pool(threads);
    Check(pool.threads() == threads, "the calling thread counts");
    for (int round = 0; round < 2000; ++round) {
      std::vector<int> counts(static_cast<size_t>(round % 17));
      pool.Run(static_cast<int64_t>(counts.size()), [&](int64_t task) { ++counts[static_cast<size_t>(task)]; });
      for (const int count : counts) Check(count == 1, "every task runs once");
      if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
}

const AddTests added({DISTRI_TEST(EveryTaskRunsOnceAndItsWritesAreSeen)});

}  // namespace
}  // namespace distri::test
