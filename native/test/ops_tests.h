// The groups of tests that ops_test.cc runs, a file each.
#pragma once

#include <vector>

#include "test/harness.h"

namespace distri::test {

std::vector<Test> TaskTests();

}  // namespace distri::test
