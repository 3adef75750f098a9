#include "test/library.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "ort/library.h"
#include "ort/session.h"
#include "test/onnx_model.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

namespace distri::test {

void EnterLibrary() {
#ifdef __SANITIZE_ADDRESS__
  const __lsan::ScopedDisabler disabler;
#endif
  const std::string model = Serialize({{{"Relu", "", {"x"}, {"y"}, {}}}, {{"x", {1}}}, {{"y", {1}}}});
  ort::Session session(model.data(), model.size(), {});
  float x = 1;
  float y = 0;
  const auto view = [](float& number) {
    return ort::TensorView{&number, sizeof number, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {1}};
  };
  session.Run({view(x)}, {view(y)}, std::nullopt);
}

void LoadLibrary() {
#ifdef __SANITIZE_ADDRESS__
  const __lsan::ScopedDisabler disabler;
#endif
  const char* path = std::getenv("DISTRI_ORT_LIBRARY");
  if (path == nullptr) throw std::invalid_argument("DISTRI_ORT_LIBRARY names no library");
  ort::LoadLibrary(path);
  EnterLibrary();
}

}  // namespace distri::test
