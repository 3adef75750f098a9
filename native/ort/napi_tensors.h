// JavaScript tensors (src/tensor/tensor.ts) as memory for a session, checked against the graph.
#pragma once

#include <napi.h>

#include <vector>

#include "ort/session.h"

namespace distri {

struct BoundTensors {
  // In the order of the graph's values.
  std::vector<ort::TensorView> views;
  // The typed arrays that own the memory.
  std::vector<Napi::Value> arrays;
};

// Finds every value of `signatures` in `tensors`, which must have no others. `kind` is "input" or "output".
// Throws NativeError for a wrong name, element type, shape or size.
BoundTensors BindTensors(const Napi::Object& tensors, const std::vector<ort::Signature>& signatures,
                         const std::string& kind);

struct BoundInitializers {
  std::vector<std::pair<std::string, ort::TensorView>> views;
  std::vector<Napi::Value> arrays;
};

// Float32 weights by name, of any shape. Throws NativeError.
BoundInitializers BindInitializers(const Napi::Object& tensors);

}  // namespace distri
