#include "comm/napi_measure.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "comm/measure.h"
#include "comm/napi_communicator.h"
#include "napi/arguments.h"
#include "napi/errors.h"
#include "napi/promise_worker.h"

namespace distri {
namespace {

using Times = std::vector<double>;

// In the order of the names that JavaScript knows them by.
enum class Pattern { kBarrier, kRoundTrip, kAllGather };

// Hours of the quickest.
constexpr int64_t kMaxIterations = 1'000'000'000;

Times Measure(Communicator& communicator, Pattern pattern, int slot, int iterations) {
  switch (pattern) {
    case Pattern::kBarrier:
      return MeasureBarriers(communicator, iterations);
    case Pattern::kRoundTrip:
      return MeasureRoundTrips(communicator, slot, iterations);
    case Pattern::kAllGather:
      return MeasureAllGathers(communicator, slot, iterations);
  }
  return {};
}

Napi::Value MeasureExchange(const Napi::CallbackInfo& info) {
  return Rejecting(info.Env(), [&]() -> Napi::Value {
    const std::shared_ptr<Communicator> communicator = UnwrapCommunicator(info[0]);
    const Napi::Object options = ReadObject(info[1], "options");
    const auto pattern = static_cast<Pattern>(
        ReadChoice(options.Get("pattern"), "pattern", {"barrier", "round_trip", "all_gather"}));
    const int slot = ReadInt(options.Get("slot"), "slot", 0, kMaxInt);
    const int iterations = ReadInt(options.Get("iterations"), "iterations", 0, kMaxIterations);
    const auto times = std::make_shared<Times>();
    return PromiseWorker::Start(
        info.Env(), {info[0]}, [=] { *times = Measure(*communicator, pattern, slot, iterations); },
        [=](Napi::Env env) {
          Napi::Float64Array result = Napi::Float64Array::New(env, times->size());
          std::copy(times->begin(), times->end(), result.Data());
          return result;
        });
  });
}

}  // namespace

void RegisterMeasure(Napi::Env env, Napi::Object exports) {
  exports.Set("measureExchange", Napi::Function::New<MeasureExchange>(env));
}

}  // namespace distri
