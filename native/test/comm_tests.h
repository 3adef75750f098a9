// The groups of tests that comm_main.cc runs.
#pragma once

#include <vector>

#include "comm/transport.h"
#include "test/harness.h"

namespace distri::test {

std::vector<Test> TransportTests(const Transport& transport);
std::vector<Test> SharedMemoryTests();

}  // namespace distri::test
