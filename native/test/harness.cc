#include "test/harness.h"

#include <cstdio>

namespace distri::test {
namespace {

bool Passes(const Test& test) {
  const auto start = Clock::now();
  std::string error;
  try {
    test.run();
  } catch (const std::exception& exception) {
    error = ": " + std::string(exception.what());
  }
  std::printf("%s %s (%lld ms)%s\n", error.empty() ? "ok    " : "FAILED", test.name.c_str(),
              static_cast<long long>(MillisecondsSince(start)), error.c_str());
  std::fflush(stdout);
  return error.empty();
}

}  // namespace

int RunTests(const std::vector<Test>& tests, int argc, char** argv) {
  int run = 0;
  int failures = 0;
  for (const Test& test : tests) {
    if (argc > 1 && test.name.find(argv[1]) == std::string::npos) continue;
    ++run;
    if (!Passes(test)) ++failures;
  }
  return run > 0 && failures == 0 ? 0 : 1;
}

}  // namespace distri::test
