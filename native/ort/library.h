// libonnxruntime, found by JavaScript and loaded at run time.
#pragma once

#include <string>

#include "ort/api.h"

namespace distri::ort {

// Loads the library at `path` and creates its environment; returns its version. Once per process: a second
// call must name the same path. Throws std::runtime_error.
std::string LoadLibrary(const std::string& path);

// The loaded library's functions. Throws std::runtime_error before LoadLibrary.
const Api& api();

// The process's environment: ONNX Runtime has one, whoever creates it first.
OrtEnv* environment();

}  // namespace distri::ort
