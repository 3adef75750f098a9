#include "comm/napi_measure.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "comm/measure.h"
#include "comm/napi_communicator.h"
#include "napi/promise_worker.h"

namespace distri {
namespace {

using Times = std::vector<double>;

Times Measure(Communicator& communicator, const std::string& pattern, int slot, int iterations) {
  if (pattern == "barrier") return MeasureBarriers(communicator, iterations);
  if (pattern == "round_trip") return MeasureRoundTrips(communicator, slot, iterations);
  return MeasureAllGathers(communicator, slot, iterations);
}

Napi::Value MeasureExchange(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Communicator> communicator = UnwrapCommunicator(info[0]);
  const auto options = info[1].As<Napi::Object>();
  const std::string pattern = options.Get("pattern").As<Napi::String>().Utf8Value();
  const int slot = options.Get("slot").As<Napi::Number>().Int32Value();
  const int iterations = options.Get("iterations").As<Napi::Number>().Int32Value();
  const auto times = std::make_shared<Times>();
  return PromiseWorker::Start(
      info.Env(), {info[0]}, [=] { *times = Measure(*communicator, pattern, slot, iterations); },
      [=](Napi::Env env) {
        Napi::Float64Array result = Napi::Float64Array::New(env, times->size());
        std::copy(times->begin(), times->end(), result.Data());
        return result;
      });
}

}  // namespace

void RegisterMeasure(Napi::Env env, Napi::Object exports) {
  exports.Set("measureExchange", Napi::Function::New<MeasureExchange>(env));
}

}  // namespace distri
