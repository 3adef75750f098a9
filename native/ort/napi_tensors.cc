#include "ort/napi_tensors.h"

#include "ops/kernel.h"

namespace distri {
namespace {

struct ElementType {
  ONNXTensorElementDataType type;
  const char* name;
  napi_typedarray_type array;
  size_t bytes;
};

constexpr ElementType kElementTypes[] = {
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, "float32", napi_float32_array, 4},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, "int64", napi_bigint64_array, 8},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, "uint8", napi_uint8_array, 1},
};

[[noreturn]] void Refuse(const std::string& what) { throw NativeError("ORT", what); }

const ElementType& TypeOf(const ort::Signature& signature, const std::string& what) {
  for (const ElementType& element : kElementTypes) {
    if (element.type == signature.type) return element;
  }
  Refuse(what + " has ONNX element type " + std::to_string(signature.type) +
         "; only float32, int64 and uint8 can be passed");
}

std::string List(const std::vector<ort::Signature>& signatures) {
  std::string text;
  for (const ort::Signature& signature : signatures) text += (text.empty() ? "" : ", ") + signature.name;
  return text.empty() ? "none" : text;
}

ops::Shape ReadShape(const Napi::Value& value, const std::string& what) {
  if (!value.IsArray()) Refuse(what + " has no shape");
  const auto array = value.As<Napi::Array>();
  ops::Shape shape;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value dim = array.Get(i);
    if (!dim.IsNumber()) Refuse(what + " has a shape with a dimension that is not a number");
    shape.push_back(dim.As<Napi::Number>().Int64Value());
  }
  return shape;
}

void CheckShape(const ops::Shape& actual, const ops::Shape& declared, const std::string& what) {
  bool same = actual.size() == declared.size();
  for (size_t i = 0; same && i < declared.size(); ++i) {
    same = actual[i] >= 0 && (declared[i] < 0 || actual[i] == declared[i]);
  }
  if (!same) Refuse(what + " has shape " + ops::ToString(actual) + ", the graph " + ops::ToString(declared));
}

ort::TensorView Bind(const Napi::Object& tensor, const ort::Signature& signature, const std::string& what) {
  const ElementType& element = TypeOf(signature, what);
  const Napi::Value dtype = tensor.Get("dtype");
  if (!dtype.IsString() || dtype.As<Napi::String>().Utf8Value() != element.name) {
    Refuse(what + " is " + dtype.ToString().Utf8Value() + ", the graph wants " + element.name);
  }
  const ops::Shape shape = ReadShape(tensor.Get("shape"), what);
  CheckShape(shape, signature.shape, what);
  const Napi::Value data = tensor.Get("data");
  if (!data.IsTypedArray() || data.As<Napi::TypedArray>().TypedArrayType() != element.array) {
    Refuse(what + " has data of another type than its dtype " + element.name);
  }
  auto array = data.As<Napi::TypedArray>();
  const size_t bytes = static_cast<size_t>(ops::Count(shape)) * element.bytes;
  if (array.ByteLength() != bytes) {
    Refuse(what + " has " + std::to_string(array.ByteLength()) + " bytes of data, shape " +
           ops::ToString(shape) + " needs " + std::to_string(bytes));
  }
  auto* memory = static_cast<char*>(array.ArrayBuffer().Data());
  return {memory + array.ByteOffset(), bytes, element.type, shape};
}

void RefuseUnknown(const Napi::Object& tensors, const std::vector<ort::Signature>& signatures,
                   const std::string& kind) {
  const Napi::Array names = tensors.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).ToString().Utf8Value();
    bool known = false;
    for (const ort::Signature& signature : signatures) known = known || signature.name == name;
    if (!known) Refuse("the graph has no " + kind + " " + name + "; it has " + List(signatures));
  }
}

}  // namespace

BoundTensors BindTensors(const Napi::Object& tensors, const std::vector<ort::Signature>& signatures,
                         const std::string& kind) {
  RefuseUnknown(tensors, signatures, kind);
  BoundTensors bound;
  for (const ort::Signature& signature : signatures) {
    const std::string what = kind + " " + signature.name;
    const Napi::Value tensor = tensors.Get(signature.name);
    if (!tensor.IsObject()) Refuse(what + " is missing; the graph has " + List(signatures));
    bound.views.push_back(Bind(tensor.As<Napi::Object>(), signature, what));
    bound.arrays.push_back(tensor.As<Napi::Object>().Get("data"));
  }
  return bound;
}

BoundInitializers BindInitializers(const Napi::Object& tensors) {
  const Napi::Array names = tensors.GetPropertyNames();
  BoundInitializers bound;
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).ToString().Utf8Value();
    const std::string what = "initializer " + name;
    const Napi::Value tensor = tensors.Get(name);
    if (!tensor.IsObject()) Refuse(what + " is not a tensor");
    const size_t rank = ReadShape(tensor.As<Napi::Object>().Get("shape"), what).size();
    const ort::Signature any{name, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, ops::Shape(rank, -1)};
    bound.views.emplace_back(name, Bind(tensor.As<Napi::Object>(), any, what));
    bound.arrays.push_back(tensor.As<Napi::Object>().Get("data"));
  }
  return bound;
}

}  // namespace distri
