// The `Program` of src/engine/addon.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "device/mapped_file.h"
#include "device/program.h"

namespace distri {

class NapiProgram : public Napi::ObjectWrap<NapiProgram> {
 public:
  struct Parts {
    // The typed arrays whose memory the program uses for as long as it lives.
    Napi::ObjectReference weights;
    std::vector<device::MappedFile> files;
    std::shared_ptr<device::Program> program;
  };

  static void Register(Napi::Env env, Napi::Object exports);

  // For Register only: takes the parts out of an External.
  explicit NapiProgram(const Napi::CallbackInfo& info);

 private:
  Napi::Value Run(const Napi::CallbackInfo& info);
  Napi::Value Milliseconds(const Napi::CallbackInfo& info);
  void Release(const Napi::CallbackInfo& info);

  // Throws NativeError.
  device::Program& Checked();

  Parts parts_;
  bool running_ = false;
};

}  // namespace distri
