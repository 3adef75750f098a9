// The errors that reach JavaScript, see NativeErrorCode in src/engine/addon.ts.
#pragma once

#include <stdexcept>
#include <string>

#include "comm/communicator.h"

namespace distri {

class NativeError : public std::runtime_error {
 public:
  NativeError(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const { return code_; }

 private:
  const char* code_;
};

inline const char* ErrorCode(CommErrorCode code) {
  switch (code) {
    case CommErrorCode::kTimeout:
      return "COMM_TIMEOUT";
    case CommErrorCode::kAborted:
      return "COMM_ABORTED";
    case CommErrorCode::kProtocol:
      return "COMM_PROTOCOL";
  }
  return "ORT";
}

}  // namespace distri
