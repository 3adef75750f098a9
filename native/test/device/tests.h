// Tests of devices' kernels: a file each, which adds its tests.
#pragma once

#include <vector>

#include "test/harness.h"

namespace distri::test {

// All tests that were added so far.
std::vector<Test>& DeviceTests();

// Adds tests before main.
struct AddTests {
  explicit AddTests(const std::vector<Test>& tests) {
    DeviceTests().insert(DeviceTests().end(), tests.begin(), tests.end());
  }
};

}  // namespace distri::test
