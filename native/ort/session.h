// An inference session over the C API: a graph given as bytes, run on memory of the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ops/domain.h"
#include "ops/session_context.h"
#include "ort/handles.h"

namespace distri::ort {

// Memory of the caller.
struct TensorView {
  void* data;
  size_t bytes;
  ONNXTensorElementDataType type;
  std::vector<int64_t> shape;
};

// See SessionOptions in src/engine/addon.ts.
struct SessionConfig {
  int threads = 1;
  bool share_weights = true;
  bool keep_memory = true;
  std::shared_ptr<Communicator> communicator;
  int rank = 0;
  std::string profile;
  // Weights by name, whose memory outlives the session.
  std::vector<std::pair<std::string, TensorView>> initializers;
};

// An input or output of the graph; unknown dimensions are -1.
struct Signature {
  std::string name;
  ONNXTensorElementDataType type;
  std::vector<int64_t> shape;
};

class Session {
 public:
  // External initializers are located by their absolute path without the leading slash. Throws NativeError.
  Session(const void* model, size_t bytes, const SessionConfig& config);
  ~Session();

  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const std::vector<Signature>& inputs() const { return inputs_; }
  const std::vector<Signature>& outputs() const { return outputs_; }
  // Whether the graph has operators that exchange, so that every run needs a step.
  bool exchanges() const { return context_.exchanges; }

  // Makes the next Run one that was not terminated. Not during a run.
  void Prepare();
  // Runs the graph, one call at a time. Throws NativeError.
  void Run(const std::vector<TensorView>& inputs, const std::vector<TensorView>& outputs,
           std::optional<Step> step);
  // Makes Run fail before its next node. From any thread.
  void Terminate();

 private:
  void Create(const void* model, size_t bytes, const SessionConfig& config);
  void GiveInitializers(OrtSessionOptions* options, const SessionConfig& config) const;
  void ReadSignatures();
  [[noreturn]] void Fail(const std::string& message) const;

  // The order is that of the lifetimes: the session uses the domain, whose kernels use the context.
  ops::SessionContext context_;
  ops::Domain domain_;
  bool profiles_;
  MemoryInfoHandle memory_;
  RunOptionsHandle run_options_;
  SessionHandle session_;
  std::vector<Signature> inputs_;
  std::vector<Signature> outputs_;
};

}  // namespace distri::ort
