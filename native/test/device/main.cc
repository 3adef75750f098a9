#include "test/device/tests.h"

namespace distri::test {

std::vector<Test>& DeviceTests() {
  static std::vector<Test> tests;
  return tests;
}

}  // namespace distri::test

int main(int argc, char** argv) {
  return distri::test::RunTests(distri::test::DeviceTests(), argc, argv);
}
