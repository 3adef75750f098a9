// Sessions: what they are made of, how they fail and how they end.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "test/op_session.h"
#include "test/ops_tests.h"

namespace distri::test {
namespace {

// y = x1 * x2 * ... with `count` products of the same weight.
Model Products(int count, const Shape& shape, bool external) {
  Model model{{}, {{"x", shape}}, {{"y", shape}}, {}};
  std::string last = "x";
  for (int i = 0; i < count; ++i) {
    const std::string next = i == count - 1 ? "y" : "p" + std::to_string(i);
    model.nodes.push_back({"Mul", "", {last, "w"}, {next}, {}});
    last = next;
  }
  Value weight{"w", shape, std::vector<float>(static_cast<size_t>(Count(shape)), 1.5f)};
  weight.external = external;
  model.weights.push_back(weight);
  return model;
}

std::unique_ptr<ort::Session> Create(const Model& model, const ort::SessionConfig& config = {}) {
  const std::string bytes = Serialize(model);
  return std::make_unique<ort::Session>(bytes.data(), bytes.size(), config);
}

ort::TensorView View(std::vector<float>& floats, const Shape& shape) {
  return {floats.data(), floats.size() * sizeof(float), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, shape};
}

void AGraphSaysWhatItTakesAndGives() {
  const auto session = Create(Products(2, {2, 3}, false));
  Check(session->inputs().size() == 1 && session->inputs()[0].name == "x", "one input x");
  Check(session->outputs().size() == 1 && session->outputs()[0].shape == Shape{2, 3}, "one output [2, 3]");
  Check(!session->exchanges(), "nothing is exchanged");
}

void AllKindsOfSessionsComputeTheSame() {
  for (const bool share_weights : {false, true}) {
    for (const bool keep_memory : {false, true}) {
      for (const bool external : {false, true}) {
        ort::SessionConfig config = Threads(2);
        config.share_weights = share_weights;
        config.keep_memory = keep_memory;
        std::vector<float> weight(6, 1.5f);
        if (external) config.initializers.emplace_back("w", View(weight, {2, 3}));
        const auto session = Create(Products(2, {2, 3}, external), config);
        std::vector<float> x = {1, 2, 3, 4, 5, 6}, y(6);
        for (int run = 0; run < 3; ++run) session->Run({View(x, {2, 3})}, {View(y, {2, 3})}, std::nullopt);
        Check(y == std::vector<float>({2.25f, 4.5f, 6.75f, 9, 11.25f, 13.5f}), "the products");
      }
    }
  }
}

void WhatIsNoModelIsRefused() {
  Expect<NativeError>("", [] { ort::Session("not a model", 11, {}); });
  Model unknown{{{"Nonsense", "distri", {"x"}, {"y"}, {}}}, {{"x", {1}}}, {{"y", {1}}}};
  Expect<NativeError>("Nonsense", [&] { Create(unknown); });
  // Its weight is in no file.
  Expect<NativeError>("", [] { Create(Products(1, {2}, true)); });
}

void AMissingAttributeIsNamedWithItsNode() {
  const Operator op{"GroupNorm", {{"groups", int64_t{1}}}, {{1, 2}, {2}, {2}}, {1, 2}};
  ort::SessionConfig config;
  config.rank = 3;
  Expect<NativeError>("rank 3, node_0 (GroupNorm): ", [&] { OpSession(op, config); });
}

void WrongShapesFailTheRunAndNotTheSession() {
  const auto session = Create(Products(1, {2}, false));
  std::vector<float> x = {1, 2, 3}, y(3);
  Expect<NativeError>("", [&] { session->Run({View(x, {3})}, {View(y, {3})}, std::nullopt); });
  x.resize(2);
  y.resize(2);
  session->Run({View(x, {2})}, {View(y, {2})}, std::nullopt);
  Check(y == std::vector<float>({1.5f, 3}), "the next run succeeds");
}

void ATerminatedRunFailsAndTheNextSucceeds() {
  const Shape shape{64, 1024};
  const auto session = Create(Products(400, shape, false), Threads(2));
  std::vector<float> x(64 * 1024, 1e-30f), y(x.size());
  std::atomic<bool> ended{false};
  session->Prepare();
  std::thread terminator([&] {
    while (!ended) {
      session->Terminate();
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  try {
    Expect<NativeError>("terminate flag", [&] {
      for (int run = 0; run < 100; ++run) session->Run({View(x, shape)}, {View(y, shape)}, std::nullopt);
    });
  } catch (...) {
    ended = true;
    terminator.join();
    throw;
  }
  ended = true;
  terminator.join();
  session->Prepare();
  session->Run({View(x, shape)}, {View(y, shape)}, std::nullopt);
}

Operator Halo(int64_t above, int64_t below) {
  const Attributes attributes = {
      {"slot", int64_t{0}}, {"above", above}, {"below", below}, {"fresh", int64_t{1}}};
  return {"HaloExchange", attributes, {{1, 1, 2, 3}}, {1, 1, 4, 3}};
}

void AnOperatorThatExchangesNeedsACommunicator() {
  Expect<NativeError>("node_0 (HaloExchange): it exchanges data, but the session has no communicator",
                      [] { OpSession(Halo(-1, 1)); });
}

// Rank 0 of two, whose peer never comes.
struct Lonely {
  explicit Lonely(int64_t timeout_ms, uint64_t bytes = 24) : world(*Transports().front(), 2) {
    InThreads(2, [&](int rank) {
      auto communicator = world.Connected(world.Options(rank, world.OneSlot(bytes), timeout_ms));
      if (rank == 0) config.communicator = std::move(communicator);
    });
  }

  World world;
  ort::SessionConfig config;
};

void AMissingPeerFailsTheRunWithItsName() {
  Lonely lonely(200);
  OpSession session(Halo(-1, 1), lonely.config);
  Check(session.session().exchanges(), "it exchanges");
  const Tensor x{{1, 1, 2, 3}, {1, 2, 3, 4, 5, 6}};
  const auto error =
      Expect<NativeError>("rank 0, step 7, node_0 (HaloExchange): waited 0.2 s for rank 1", [&] {
        session.Run({x}, Step{7, 0, 0, true});
      });
  Check(std::string(error.code()) == "COMM_TIMEOUT", "the code is that of a timeout");
}

void AnAbortWakesAnOperator() {
  Lonely lonely(kPatienceMs);
  OpSession session(Halo(-1, 1), lonely.config);
  std::thread aborter([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    lonely.world.liveness().abort(1);
  });
  const Tensor x{{1, 1, 2, 3}, {1, 2, 3, 4, 5, 6}};
  std::string code;
  try {
    session.Run({x}, Synchronous(0));
  } catch (const NativeError& error) {
    code = error.code();
  }
  aborter.join();
  Check(code == "COMM_ABORTED", "the run is aborted");
}

void ASlotOfAnotherSizeIsRefused() {
  Lonely lonely(200, 28);
  OpSession session(Halo(-1, 1), lonely.config);
  const Tensor x{{1, 1, 2, 3}, {1, 2, 3, 4, 5, 6}};
  Expect<NativeError>("slot 0 of rank 0 has 28 bytes, the operator needs 24",
                      [&] { session.Run({x}, Synchronous(0)); });
}

void AProfileIsWrittenInTheEnd() {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("distri-profile-" + std::to_string(getpid()));
  fs::create_directory(folder);
  ort::SessionConfig config;
  config.profile = folder / "profile";
  {
    const auto session = Create(Products(1, {1}, false), config);
    std::vector<float> x = {1}, y(1);
    session->Run({View(x, {1})}, {View(y, {1})}, std::nullopt);
  }
  Check(!fs::is_empty(folder), "there is a profile");
  fs::remove_all(folder);
}

}  // namespace

std::vector<Test> SessionTests() {
  return {DISTRI_TEST(AGraphSaysWhatItTakesAndGives),
          DISTRI_TEST(AllKindsOfSessionsComputeTheSame),
          DISTRI_TEST(WhatIsNoModelIsRefused),
          DISTRI_TEST(AMissingAttributeIsNamedWithItsNode),
          DISTRI_TEST(WrongShapesFailTheRunAndNotTheSession),
          DISTRI_TEST(ATerminatedRunFailsAndTheNextSucceeds),
          DISTRI_TEST(AnOperatorThatExchangesNeedsACommunicator),
          DISTRI_TEST(AMissingPeerFailsTheRunWithItsName),
          DISTRI_TEST(AnAbortWakesAnOperator),
          DISTRI_TEST(ASlotOfAnotherSizeIsRefused),
          DISTRI_TEST(AProfileIsWrittenInTheEnd)};
}

}  // namespace distri::test
