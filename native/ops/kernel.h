// What an operator sees of ONNX Runtime: its node's attributes, its tensors and the thread pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ops/task_guard.h"
#include "ort/api.h"

namespace distri::ops {

using Shape = std::vector<int64_t>;

// Product of the dimensions from `begin` on, up to `end`.
int64_t Count(const Shape& shape, size_t begin, size_t end);
int64_t Count(const Shape& shape);
std::string ToString(const Shape& shape);

struct Input {
  Shape shape;
  const float* data;
};

// The attributes and weights of a node. Throws ort::OrtError for an attribute that is missing.
class KernelInfo {
 public:
  explicit KernelInfo(const OrtKernelInfo* info) : info_(info) {}

  std::string NodeName() const;
  int64_t Int(const char* attribute) const;
  float Float(const char* attribute) const;
  std::vector<int64_t> Ints(const char* attribute) const;
  // An input that is a weight; nothing if it is computed.
  std::optional<Input> ConstantInput(size_t index) const;

 private:
  const OrtKernelInfo* info_;
};

// The tensors of one call.
class KernelContext {
 public:
  explicit KernelContext(OrtKernelContext* context) : context_(context) {}

  Input GetInput(size_t index) const;
  float* GetOutput(size_t index, const Shape& shape);

  // Calls task(i) for all i < total on the session's threads. Throws what the first task that failed has
  // thrown.
  template <class Task>
  void ParallelFor(size_t total, Task task) const {
    TaskGuard<Task> guard(task);
    Parallel([](void* data, size_t i) { static_cast<TaskGuard<Task>*>(data)->Run(i); }, total, &guard);
    guard.Finish();
  }

 private:
  void Parallel(void (*task)(void*, size_t), size_t total, void* data) const;

  OrtKernelContext* context_;
};

// The shapes of one node while the graph is loaded; unknown dimensions are -1.
class ShapeInference {
 public:
  explicit ShapeInference(OrtShapeInferContext* context) : context_(context) {}

  Shape Input(size_t index) const;
  int64_t Int(const char* attribute) const;
  std::vector<int64_t> Ints(const char* attribute) const;
  void SetOutput(size_t index, const Shape& shape);

 private:
  OrtShapeInferContext* context_;
};

}  // namespace distri::ops
