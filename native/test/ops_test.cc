// Tests of the operators in sessions of the real ONNX Runtime, whose library DISTRI_ORT_LIBRARY names.
#include <vector>

#include "test/harness.h"
#include "test/library.h"
#include "test/ops_tests.h"

int main(int argc, char** argv) {
  using namespace distri;
  test::LoadLibrary();
  std::vector<test::Test> tests;
  for (const auto& group : {test::SessionTests(), test::TaskTests(), test::NormTests(), test::HaloTests(),
                            test::LinearTests(), test::AttentionTests(), test::GatherTests()})
    tests.insert(tests.end(), group.begin(), group.end());
  return test::RunTests(tests, argc, argv);
}
