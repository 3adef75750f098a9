// The groups of tests that ops_test.cc runs, a file each.
#pragma once

#include <vector>

#include "test/harness.h"

namespace distri::test {

std::vector<Test> AttentionTests();
std::vector<Test> GatherTests();
std::vector<Test> HaloTests();
std::vector<Test> LinearTests();
std::vector<Test> NormTests();
std::vector<Test> SessionTests();
std::vector<Test> TaskTests();

}  // namespace distri::test
