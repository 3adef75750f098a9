// One operator class as the structure of callbacks that ONNX Runtime wants.
//
// A kernel class has
//   static constexpr OpTraits kTraits;
//   static void InferShapes(ShapeInference&);
//   Kernel(const KernelInfo&, SessionContext&);
//   void Compute(KernelContext&);
// and reports errors by throwing; nothing is thrown across the C boundary.
#pragma once

#include <exception>
#include <memory>
#include <string>

#include "ops/kernel.h"
#include "ops/session_context.h"
#include "ort/handles.h"

namespace distri::ops {

struct OpTraits {
  const char* name;
  size_t inputs;
  size_t outputs;
  // Whether output 0 may overwrite input 0.
  bool in_place;
  // The last inputs that may be left out.
  size_t optional_inputs = 0;
};

template <class Function>
OrtStatus* AsStatus(Function function) noexcept {
  try {
    function();
    return nullptr;
  } catch (const std::exception& error) {
    return ort::api().CreateStatus(ORT_FAIL, error.what());
  } catch (...) {
    return ort::api().CreateStatus(ORT_FAIL, "something that is no exception was thrown");
  }
}

// A kernel with what its error messages need.
template <class Kernel>
class Node {
 public:
  Node(const KernelInfo& info, SessionContext& session)
      : session_(session),
        where_(info.NodeName() + " (" + Kernel::kTraits.name + "): "),
        kernel_(Explained([&] { return Kernel(info, session); })) {}

  void Compute(OrtKernelContext* raw) {
    try {
      KernelContext context(raw);
      kernel_.Compute(context);
    } catch (const CommError& error) {
      Fail(ErrorCode(error.code()), error.what());
    } catch (const std::exception& error) {
      Fail("ORT", error.what());
    }
  }

 private:
  template <class Function>
  Kernel Explained(Function create) {
    try {
      return create();
    } catch (const std::exception& error) {
      Fail("ORT", error.what());
    }
  }

  [[noreturn]] void Fail(const char* code, const std::string& message) {
    std::string who = "rank " + std::to_string(session_.rank) + ", ";
    if (session_.step) who += "step " + std::to_string(session_.step->call) + ", ";
    session_.failure.emplace(code, who + where_ + message);
    throw *session_.failure;
  }

  SessionContext& session_;
  std::string where_;
  Kernel kernel_;
};

template <class Kernel>
class CustomOp : public OrtCustomOp {
 public:
  explicit CustomOp(SessionContext& session) : OrtCustomOp{}, session_(session) {
    version = ort::kApiVersion;
    SetSignature();
    SetKernel();
    SetShapes();
  }

  CustomOp(const CustomOp&) = delete;
  CustomOp& operator=(const CustomOp&) = delete;

 private:
  static constexpr OpTraits kTraits = Kernel::kTraits;

  void SetSignature() {
    GetName = [](const OrtCustomOp*) { return kTraits.name; };
    GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return nullptr; };
    GetInputTypeCount = [](const OrtCustomOp*) { return kTraits.inputs; };
    GetOutputTypeCount = [](const OrtCustomOp*) { return kTraits.outputs; };
    GetInputType =
        GetOutputType = [](const OrtCustomOp*, size_t) { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; };
    GetInputCharacteristic = [](const OrtCustomOp*, size_t index) {
      return index + kTraits.optional_inputs < kTraits.inputs ? INPUT_OUTPUT_REQUIRED : INPUT_OUTPUT_OPTIONAL;
    };
    GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return INPUT_OUTPUT_REQUIRED; };
    GetInputMemoryType = [](const OrtCustomOp*, size_t) { return OrtMemTypeDefault; };
    GetVariadicInputMinArity = GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 0; };
    GetVariadicInputHomogeneity = GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 1; };
    GetStartVersion = GetEndVersion = [](const OrtCustomOp*) { return 1; };
  }

  void SetKernel() {
    CreateKernelV2 = [](const OrtCustomOp* op, const OrtApi*, const OrtKernelInfo* info, void** kernel) {
      return AsStatus([&] {
        SessionContext& session = static_cast<const CustomOp*>(op)->session_;
        *kernel = std::make_unique<Node<Kernel>>(KernelInfo(info), session).release();
      });
    };
    KernelComputeV2 = [](void* kernel, OrtKernelContext* context) {
      return AsStatus([&] { static_cast<Node<Kernel>*>(kernel)->Compute(context); });
    };
    KernelDestroy = [](void* kernel) {
      std::unique_ptr<Node<Kernel>>(static_cast<Node<Kernel>*>(kernel)).reset();
    };
  }

  void SetShapes() {
    // A status would be neither shown nor freed here: what does not fit is an error when the operator is run.
    InferOutputShapeFn = [](const OrtCustomOp*, OrtShapeInferContext* raw) -> OrtStatus* {
      try {
        ShapeInference context(raw);
        Kernel::InferShapes(context);
      } catch (...) {
      }
      return nullptr;
    };
    GetMayInplace = [](int** input, int** output) -> size_t {
      static int first = 0;
      *input = *output = &first;
      return kTraits.in_place ? 1 : 0;
    };
    ReleaseMayInplace = [](int*, int*) {};
  }

  SessionContext& session_;
};

}  // namespace distri::ops
