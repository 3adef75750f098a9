#include "comm/napi_liveness.h"

#include <chrono>
#include <memory>

#include "comm/liveness.h"
#include "comm/napi_options.h"
#include "napi/arguments.h"
#include "napi/errors.h"

namespace distri {
namespace {

class NapiLiveness : public Napi::ObjectWrap<NapiLiveness> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "Liveness",
        {InstanceMethod<&NapiLiveness::Abort>("abort"), InstanceMethod<&NapiLiveness::AbortedBy>("abortedBy"),
         InstanceMethod<&NapiLiveness::Beat>("beat"), InstanceMethod<&NapiLiveness::Silence>("silence")});
  }

  explicit NapiLiveness(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<NapiLiveness>(info), liveness_(Translating(info.Env(), [&] {
          const Napi::Object options = ReadObject(info[0], "options");
          return ReadTransport(options).open(ReadRunOptions(options));
        })) {}

 private:
  void Abort(const Napi::CallbackInfo& info) { liveness_->abort(Rank(info, Liveness::kParent)); }

  Napi::Value AbortedBy(const Napi::CallbackInfo& info) {
    const auto rank = liveness_->aborted_by();
    return rank ? Napi::Number::New(info.Env(), *rank) : info.Env().Undefined();
  }

  void Beat(const Napi::CallbackInfo& info) { liveness_->beat(Rank(info, 0)); }

  Napi::Value Silence(const Napi::CallbackInfo& info) {
    const auto silence = liveness_->silence(Rank(info, 0));
    if (!silence) return info.Env().Undefined();
    return Napi::Number::New(info.Env(), std::chrono::duration<double, std::milli>(*silence).count());
  }

  int Rank(const Napi::CallbackInfo& info, int min) const {
    return ReadInt(info[0], "rank", min, liveness_->world_size() - 1);
  }

  const std::unique_ptr<Liveness> liveness_;
};

}  // namespace

void RegisterLiveness(Napi::Env env, Napi::Object exports) {
  exports.Set("Liveness", NapiLiveness::Define(env));
}

}  // namespace distri
