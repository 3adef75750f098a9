// What the operators of one session share: who they are, whom they talk to, and which step it is.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "ort/native_error.h"

namespace distri::ops {

struct SessionContext {
  std::shared_ptr<Communicator> communicator;
  int rank = 0;
  // Threads that work on one operator.
  int threads = 1;
  // Whether operators keep copies of their weights in the layout that suits them best.
  bool private_weights = false;
  // Set when the graph turned out to have operators that exchange.
  bool exchanges = false;
  std::optional<Step> step;
  // Why an operator failed in this run: ONNX Runtime's status has no room for a code, and wraps the message.
  std::optional<NativeError> failure;
};

}  // namespace distri::ops
