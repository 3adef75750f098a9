// ONNX Runtime's statuses as exceptions and its objects as owning pointers.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include "ort/library.h"

namespace distri::ort {

class OrtError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws OrtError with the status's message, and releases the status.
inline void Check(OrtStatus* status) {
  if (status == nullptr) return;
  const std::string message = api().GetErrorMessage(status);
  api().ReleaseStatus(status);
  throw OrtError(message);
}

template <class T, void (*Api::*Release)(T*)>
struct Releaser {
  void operator()(T* object) const { (api().*Release)(object); }
};

template <class T, void (*Api::*Release)(T*)>
using Handle = std::unique_ptr<T, Releaser<T, Release>>;

using CustomOpDomainHandle = Handle<OrtCustomOpDomain, &Api::ReleaseCustomOpDomain>;
using MemoryInfoHandle = Handle<OrtMemoryInfo, &Api::ReleaseMemoryInfo>;
using RunOptionsHandle = Handle<OrtRunOptions, &Api::ReleaseRunOptions>;
using SessionHandle = Handle<OrtSession, &Api::ReleaseSession>;
using SessionOptionsHandle = Handle<OrtSessionOptions, &Api::ReleaseSessionOptions>;
using ShapeInfoHandle = Handle<OrtTensorTypeAndShapeInfo, &Api::ReleaseTensorTypeAndShapeInfo>;
using TypeInfoHandle = Handle<OrtTypeInfo, &Api::ReleaseTypeInfo>;
using ValueHandle = Handle<OrtValue, &Api::ReleaseValue>;

// Calls a function that returns an object through its last argument.
template <class HandleType, class Function, class... Arguments>
HandleType Make(Function create, Arguments... arguments) {
  typename HandleType::pointer object = nullptr;
  Check(create(arguments..., &object));
  return HandleType(object);
}

}  // namespace distri::ort
