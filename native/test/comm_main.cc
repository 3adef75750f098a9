#include <vector>

#include "comm/transport.h"
#include "test/comm_tests.h"

// Runs the tests whose name contains the argument, or all.
int main(int argc, char** argv) {
  using namespace distri;
  std::vector<test::Test> tests;
  const auto add = [&](const std::vector<test::Test>& group) {
    tests.insert(tests.end(), group.begin(), group.end());
  };
  for (const Transport* transport : Transports()) add(test::TransportTests(*transport));
  add(test::SharedMemoryTests());
  return test::RunTests(tests, argc, argv);
}
