// Tests of the operators in sessions of the real ONNX Runtime, whose library DISTRI_ORT_LIBRARY names.
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "ort/library.h"
#include "ort/session.h"
#include "test/harness.h"
#include "test/onnx_model.h"
#include "test/ops_tests.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

namespace {

// Memory that the library keeps from its first session on is not ours to free.
void LoadLibrary() {
#ifdef __SANITIZE_ADDRESS__
  const __lsan::ScopedDisabler disabler;
#endif
  const char* library = std::getenv("DISTRI_ORT_LIBRARY");
  if (library == nullptr) throw std::invalid_argument("DISTRI_ORT_LIBRARY names no library");
  distri::ort::LoadLibrary(library);
  const std::string model =
      distri::test::Serialize({{{"Relu", "", {"x"}, {"y"}, {}}}, {{"x", {1}}}, {{"y", {1}}}});
  distri::ort::Session(model.data(), model.size(), {});
}

}  // namespace

int main(int argc, char** argv) {
  using namespace distri;
  LoadLibrary();
  std::vector<test::Test> tests;
  for (const auto& group : {test::TaskTests()}) tests.insert(tests.end(), group.begin(), group.end());
  return test::RunTests(tests, argc, argv);
}
