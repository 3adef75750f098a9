// Tests of the operators in sessions of the real ONNX Runtime, whose library DISTRI_ORT_LIBRARY names.
#include <cstdlib>
#include <stdexcept>

#include "ort/library.h"
#include "test/harness.h"
#include "test/ops_tests.h"

int main(int argc, char** argv) {
  using namespace distri;
  const char* library = std::getenv("DISTRI_ORT_LIBRARY");
  if (library == nullptr) throw std::invalid_argument("DISTRI_ORT_LIBRARY names no library");
  ort::LoadLibrary(library);
  std::vector<test::Test> tests;
  for (const auto& group : {test::TaskTests()}) tests.insert(tests.end(), group.begin(), group.end());
  return test::RunTests(tests, argc, argv);
}
