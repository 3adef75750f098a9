// Tasks on ONNX Runtime's threads that throw.
#include <atomic>
#include <new>

#include "ops/domain.h"
#include "ort/handles.h"
#include "test/library.h"
#include "test/onnx_model.h"
#include "test/ops_tests.h"

namespace distri::test {
namespace {

constexpr int64_t kTasks = 1000;
// The task that throws; none when negative.
std::atomic<int64_t> throwing{-1};

// Copies its input, an element per task.
class Throwing {
 public:
  static constexpr ops::OpTraits kTraits{"Throwing", 1, 1, false};
  static void InferShapes(ops::ShapeInference& infer) { infer.SetOutput(0, infer.Input(0)); }

  Throwing(const ops::KernelInfo&, ops::SessionContext&) {}

  void Compute(ops::KernelContext& context) {
    const ops::Input x = context.GetInput(0);
    float* y = context.GetOutput(0, x.shape);
    context.ParallelFor(kTasks, [&](size_t i) {
      if (static_cast<int64_t>(i) == throwing) throw std::bad_alloc();
      y[i] = x.data[i];
    });
  }
};

// A session of one Throwing.
class ThrowingSession {
 public:
  explicit ThrowingSession(int threads) : domain_(ops::KernelList<Throwing>{}, context_) {
    using ort::api;
    const auto options = ort::Make<ort::SessionOptionsHandle>(api().CreateSessionOptions);
    ort::Check(api().SetIntraOpNumThreads(options.get(), AtMostThreads(threads)));
    ort::Check(api().AddCustomOpDomain(options.get(), domain_.get()));
    const std::string model =
        Serialize({{{"Throwing", "distri", {"x"}, {"y"}, {}}}, {{"x", {kTasks}}}, {{"y", {kTasks}}}});
    session_ = ort::Make<ort::SessionHandle>(api().CreateSessionFromArray, ort::environment(), model.data(),
                                             model.size(), options.get());
  }

  void Run(std::vector<float>& x, std::vector<float>& y) {
    const char* const names[] = {"x", "y"};
    const ort::ValueHandle values[] = {Tensor(x), Tensor(y)};
    const OrtValue* input = values[0].get();
    OrtValue* output = values[1].get();
    ort::Check(ort::api().Run(session_.get(), nullptr, names, &input, 1, names + 1, 1, &output));
  }

 private:
  static ort::ValueHandle Tensor(std::vector<float>& floats) {
    const auto memory = ort::Make<ort::MemoryInfoHandle>(ort::api().CreateCpuMemoryInfo, OrtDeviceAllocator,
                                                         OrtMemTypeDefault);
    const int64_t shape[] = {kTasks};
    return ort::Make<ort::ValueHandle>(ort::api().CreateTensorWithDataAsOrtValue, memory.get(), floats.data(),
                                       floats.size() * sizeof(float), shape, size_t{1},
                                       ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
  }

  ops::SessionContext context_;
  ops::Domain domain_;
  ort::SessionHandle session_;
};

void ATaskThatThrowsFailsTheRunAndNotTheProcess() {
  for (const int threads : {1, 3}) {
    ThrowingSession session(threads);
    std::vector<float> x(kTasks, 2.0f);
    std::vector<float> y(kTasks, 0.0f);
    for (const int64_t task : {int64_t{0}, int64_t{500}, kTasks - 1}) {
      throwing = task;
      Expect<ort::OrtError>(std::bad_alloc().what(), [&] { session.Run(x, y); });
      throwing = -1;
      y.assign(kTasks, 0.0f);
      session.Run(x, y);
      Check(y == x, "the next run succeeds");
    }
  }
}

}  // namespace

std::vector<Test> TaskTests() { return {DISTRI_TEST(ATaskThatThrowsFailsTheRunAndNotTheProcess)}; }

}  // namespace distri::test
