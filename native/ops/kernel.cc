#include "ops/kernel.h"

#include <functional>
#include <numeric>

#include "ort/handles.h"

namespace distri::ops {

using ort::api;
using ort::Check;

int64_t Count(const Shape& shape, size_t begin, size_t end) {
  return std::accumulate(shape.begin() + begin, shape.begin() + end, int64_t{1}, std::multiplies<>());
}

int64_t Count(const Shape& shape) { return Count(shape, 0, shape.size()); }

std::string ToString(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

namespace {

Shape ReadShape(const OrtTensorTypeAndShapeInfo* info) {
  size_t rank = 0;
  Check(api().GetDimensionsCount(info, &rank));
  Shape shape(rank);
  Check(api().GetDimensions(info, shape.data(), rank));
  return shape;
}

Input ReadInput(const OrtValue* value) {
  const auto info = ort::Make<ort::ShapeInfoHandle>(api().GetTensorTypeAndShape, value);
  void* data = nullptr;
  // The C API has no accessor for const data; an input is only read.
  Check(api().GetTensorMutableData(const_cast<OrtValue*>(value), &data));
  return {ReadShape(info.get()), static_cast<const float*>(data)};
}

}  // namespace

std::string KernelInfo::NodeName() const {
  size_t bytes = 0;
  Check(api().KernelInfo_GetNodeName(info_, nullptr, &bytes));
  std::string name(bytes, '\0');
  Check(api().KernelInfo_GetNodeName(info_, name.data(), &bytes));
  name.resize(bytes - 1);
  return name;
}

int64_t KernelInfo::Int(const char* attribute) const {
  int64_t value = 0;
  Check(api().KernelInfoGetAttribute_int64(info_, attribute, &value));
  return value;
}

float KernelInfo::Float(const char* attribute) const {
  float value = 0;
  Check(api().KernelInfoGetAttribute_float(info_, attribute, &value));
  return value;
}

std::vector<int64_t> KernelInfo::Ints(const char* attribute) const {
  size_t count = 0;
  Check(api().KernelInfoGetAttributeArray_int64(info_, attribute, nullptr, &count));
  std::vector<int64_t> values(count);
  Check(api().KernelInfoGetAttributeArray_int64(info_, attribute, values.data(), &count));
  return values;
}

std::optional<Input> KernelInfo::ConstantInput(size_t index) const {
  int is_constant = 0;
  const OrtValue* value = nullptr;
  Check(api().KernelInfoGetConstantInput_tensor(info_, index, &is_constant, &value));
  if (!is_constant) return std::nullopt;
  return ReadInput(value);
}

Input KernelContext::GetInput(size_t index) const {
  const OrtValue* value = nullptr;
  Check(api().KernelContext_GetInput(context_, index, &value));
  return ReadInput(value);
}

float* KernelContext::GetOutput(size_t index, const Shape& shape) {
  OrtValue* value = nullptr;
  Check(api().KernelContext_GetOutput(context_, index, shape.data(), shape.size(), &value));
  void* data = nullptr;
  Check(api().GetTensorMutableData(value, &data));
  return static_cast<float*>(data);
}

void KernelContext::Parallel(void (*task)(void*, size_t), size_t total, void* data) const {
  constexpr size_t kNoBatchLimit = 0;
  Check(api().KernelContext_ParallelFor(context_, task, total, kNoBatchLimit, data));
}

Shape ShapeInference::Input(size_t index) const {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  Check(api().ShapeInferContext_GetInputTypeShape(context_, index, &info));
  // The context keeps it: releasing it here would free it twice.
  return ReadShape(info);
}

int64_t ShapeInference::Int(const char* attribute) const {
  const OrtOpAttr* value = nullptr;
  Check(api().ShapeInferContext_GetAttribute(context_, attribute, &value));
  int64_t result = 0;
  size_t bytes = 0;
  Check(api().ReadOpAttr(value, ORT_OP_ATTR_INT, &result, sizeof result, &bytes));
  return result;
}

std::vector<int64_t> ShapeInference::Ints(const char* attribute) const {
  const OrtOpAttr* value = nullptr;
  Check(api().ShapeInferContext_GetAttribute(context_, attribute, &value));
  size_t bytes = 0;
  // The first call fails, but says how much it needs.
  if (OrtStatus* status = api().ReadOpAttr(value, ORT_OP_ATTR_INTS, nullptr, 0, &bytes))
    api().ReleaseStatus(status);
  std::vector<int64_t> result(bytes / sizeof(int64_t));
  Check(api().ReadOpAttr(value, ORT_OP_ATTR_INTS, result.data(), bytes, &bytes));
  return result;
}

void ShapeInference::SetOutput(size_t index, const Shape& shape) {
  const auto info = ort::Make<ort::ShapeInfoHandle>(api().CreateTensorTypeAndShapeInfo);
  Check(api().SetTensorElementType(info.get(), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT));
  Check(api().SetDimensions(info.get(), shape.data(), shape.size()));
  Check(api().ShapeInferContext_SetOutputTypeShape(context_, index, info.get()));
}

}  // namespace distri::ops
