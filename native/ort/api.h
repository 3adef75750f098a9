// The part of ONNX Runtime's C ABI that distri uses: the slots of its function table that are called, by
// index, with their prototypes, and the structure of a custom operator.
//
// No npm package ships onnxruntime_c_api.h, and the header would tie the build to one release. The table is
// append-only: an index and its prototype never change once released. Source of both: onnxruntime_c_api.h of
// ONNX Runtime 1.20 (microsoft/onnxruntime, include/onnxruntime/core/session). Names are kept, so that its
// documentation applies.
#pragma once

#include <cstddef>
#include <cstdint>

struct OrtAllocator;
struct OrtCustomOpDomain;
struct OrtEnv;
struct OrtKernelContext;
struct OrtKernelInfo;
struct OrtMemoryInfo;
struct OrtOpAttr;
struct OrtRunOptions;
struct OrtSession;
struct OrtSessionOptions;
struct OrtShapeInferContext;
struct OrtStatus;
struct OrtTensorTypeAndShapeInfo;
struct OrtTypeInfo;
struct OrtValue;
struct OrtApi;
struct OrtCustomOp;

enum OrtLoggingLevel { ORT_LOGGING_LEVEL_FATAL = 4 };
enum OrtErrorCode { ORT_FAIL = 1 };
enum OrtOpAttrType { ORT_OP_ATTR_INT = 1, ORT_OP_ATTR_INTS = 2 };
enum GraphOptimizationLevel { ORT_ENABLE_ALL = 99 };
enum OrtAllocatorType { OrtDeviceAllocator = 0 };
enum OrtMemType { OrtMemTypeDefault = 0 };
enum OrtCustomOpInputOutputCharacteristic { INPUT_OUTPUT_REQUIRED = 0, INPUT_OUTPUT_OPTIONAL = 1 };
enum ONNXTensorElementDataType {
  ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED = 0,
  ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1,
  ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 = 2,
  ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 = 7,
};

// The only exported symbol, OrtGetApiBase, returns this.
struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

// Version 20 of the structure. ONNX Runtime calls most members unchecked: only the alias pair may stay null.
struct OrtCustomOp {
  uint32_t version;
  void* (*CreateKernel)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*);
  const char* (*GetName)(const OrtCustomOp*);
  const char* (*GetExecutionProviderType)(const OrtCustomOp*);
  ONNXTensorElementDataType (*GetInputType)(const OrtCustomOp*, size_t index);
  size_t (*GetInputTypeCount)(const OrtCustomOp*);
  ONNXTensorElementDataType (*GetOutputType)(const OrtCustomOp*, size_t index);
  size_t (*GetOutputTypeCount)(const OrtCustomOp*);
  void (*KernelCompute)(void* kernel, OrtKernelContext*);
  void (*KernelDestroy)(void* kernel);
  OrtCustomOpInputOutputCharacteristic (*GetInputCharacteristic)(const OrtCustomOp*, size_t index);
  OrtCustomOpInputOutputCharacteristic (*GetOutputCharacteristic)(const OrtCustomOp*, size_t index);
  OrtMemType (*GetInputMemoryType)(const OrtCustomOp*, size_t index);
  int (*GetVariadicInputMinArity)(const OrtCustomOp*);
  int (*GetVariadicInputHomogeneity)(const OrtCustomOp*);
  int (*GetVariadicOutputMinArity)(const OrtCustomOp*);
  int (*GetVariadicOutputHomogeneity)(const OrtCustomOp*);
  OrtStatus* (*CreateKernelV2)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*, void** kernel);
  OrtStatus* (*KernelComputeV2)(void* kernel, OrtKernelContext*);
  OrtStatus* (*InferOutputShapeFn)(const OrtCustomOp*, OrtShapeInferContext*);
  int (*GetStartVersion)(const OrtCustomOp*);
  int (*GetEndVersion)(const OrtCustomOp*);
  size_t (*GetMayInplace)(int** input_index, int** output_index);
  void (*ReleaseMayInplace)(int* input_index, int* output_index);
  size_t (*GetAliasMap)(int** input_index, int** output_index);
  void (*ReleaseAliasMap)(int* input_index, int* output_index);
};

namespace distri::ort {

// Any release from 1.20 on offers this version of the table, and all slots below are older. Asking for a
// version that the library lacks makes it print to stderr, so newer ones are never asked for.
constexpr uint32_t kApiVersion = 20;

// clang-format off
#define DISTRI_ORT_SLOTS(SLOT)                                                                                                   \
  SLOT(0, OrtStatus*, CreateStatus, OrtErrorCode, const char* message)                                                           \
  SLOT(2, const char*, GetErrorMessage, const OrtStatus*)                                                                        \
  SLOT(3, OrtStatus*, CreateEnv, OrtLoggingLevel, const char* log_id, OrtEnv**)                                                  \
  SLOT(8, OrtStatus*, CreateSessionFromArray, const OrtEnv*, const void* model, size_t bytes, const OrtSessionOptions*, OrtSession**) \
  SLOT(9, OrtStatus*, Run, OrtSession*, const OrtRunOptions*, const char* const* input_names, const OrtValue* const* inputs, size_t input_count, const char* const* output_names, size_t output_count, OrtValue** outputs) \
  SLOT(10, OrtStatus*, CreateSessionOptions, OrtSessionOptions**)                                                                \
  SLOT(14, OrtStatus*, EnableProfiling, OrtSessionOptions*, const char* file_prefix)                                             \
  SLOT(17, OrtStatus*, DisableMemPattern, OrtSessionOptions*)                                                                    \
  SLOT(19, OrtStatus*, DisableCpuMemArena, OrtSessionOptions*)                                                                   \
  SLOT(22, OrtStatus*, SetSessionLogSeverityLevel, OrtSessionOptions*, int level)                                                \
  SLOT(23, OrtStatus*, SetSessionGraphOptimizationLevel, OrtSessionOptions*, GraphOptimizationLevel)                             \
  SLOT(24, OrtStatus*, SetIntraOpNumThreads, OrtSessionOptions*, int threads)                                                    \
  SLOT(26, OrtStatus*, CreateCustomOpDomain, const char* domain, OrtCustomOpDomain**)                                            \
  SLOT(27, OrtStatus*, CustomOpDomain_Add, OrtCustomOpDomain*, const OrtCustomOp*)                                               \
  SLOT(28, OrtStatus*, AddCustomOpDomain, OrtSessionOptions*, OrtCustomOpDomain*)                                                \
  SLOT(30, OrtStatus*, SessionGetInputCount, const OrtSession*, size_t*)                                                         \
  SLOT(31, OrtStatus*, SessionGetOutputCount, const OrtSession*, size_t*)                                                        \
  SLOT(33, OrtStatus*, SessionGetInputTypeInfo, const OrtSession*, size_t index, OrtTypeInfo**)                                  \
  SLOT(34, OrtStatus*, SessionGetOutputTypeInfo, const OrtSession*, size_t index, OrtTypeInfo**)                                 \
  SLOT(36, OrtStatus*, SessionGetInputName, const OrtSession*, size_t index, OrtAllocator*, char**)                              \
  SLOT(37, OrtStatus*, SessionGetOutputName, const OrtSession*, size_t index, OrtAllocator*, char**)                             \
  SLOT(39, OrtStatus*, CreateRunOptions, OrtRunOptions**)                                                                        \
  SLOT(46, OrtStatus*, RunOptionsSetTerminate, OrtRunOptions*)                                                                   \
  SLOT(47, OrtStatus*, RunOptionsUnsetTerminate, OrtRunOptions*)                                                                 \
  SLOT(49, OrtStatus*, CreateTensorWithDataAsOrtValue, const OrtMemoryInfo*, void* data, size_t bytes, const int64_t* shape, size_t rank, ONNXTensorElementDataType, OrtValue**) \
  SLOT(51, OrtStatus*, GetTensorMutableData, OrtValue*, void**)                                                                  \
  SLOT(55, OrtStatus*, CastTypeInfoToTensorInfo, const OrtTypeInfo*, const OrtTensorTypeAndShapeInfo**)                          \
  SLOT(57, OrtStatus*, CreateTensorTypeAndShapeInfo, OrtTensorTypeAndShapeInfo**)                                                \
  SLOT(58, OrtStatus*, SetTensorElementType, OrtTensorTypeAndShapeInfo*, ONNXTensorElementDataType)                              \
  SLOT(59, OrtStatus*, SetDimensions, OrtTensorTypeAndShapeInfo*, const int64_t* dims, size_t rank)                              \
  SLOT(60, OrtStatus*, GetTensorElementType, const OrtTensorTypeAndShapeInfo*, ONNXTensorElementDataType*)                       \
  SLOT(61, OrtStatus*, GetDimensionsCount, const OrtTensorTypeAndShapeInfo*, size_t*)                                            \
  SLOT(62, OrtStatus*, GetDimensions, const OrtTensorTypeAndShapeInfo*, int64_t* dims, size_t rank)                              \
  SLOT(65, OrtStatus*, GetTensorTypeAndShape, const OrtValue*, OrtTensorTypeAndShapeInfo**)                                      \
  SLOT(69, OrtStatus*, CreateCpuMemoryInfo, OrtAllocatorType, OrtMemType, OrtMemoryInfo**)                                       \
  SLOT(76, OrtStatus*, AllocatorFree, OrtAllocator*, void*)                                                                      \
  SLOT(78, OrtStatus*, GetAllocatorWithDefaultOptions, OrtAllocator**)                                                           \
  SLOT(85, OrtStatus*, KernelInfoGetAttribute_float, const OrtKernelInfo*, const char* name, float*)                             \
  SLOT(86, OrtStatus*, KernelInfoGetAttribute_int64, const OrtKernelInfo*, const char* name, int64_t*)                           \
  SLOT(90, OrtStatus*, KernelContext_GetInput, const OrtKernelContext*, size_t index, const OrtValue**)                          \
  SLOT(91, OrtStatus*, KernelContext_GetOutput, OrtKernelContext*, size_t index, const int64_t* dims, size_t rank, OrtValue**)   \
  SLOT(93, void, ReleaseStatus, OrtStatus*)                                                                                      \
  SLOT(94, void, ReleaseMemoryInfo, OrtMemoryInfo*)                                                                              \
  SLOT(95, void, ReleaseSession, OrtSession*)                                                                                    \
  SLOT(96, void, ReleaseValue, OrtValue*)                                                                                        \
  SLOT(97, void, ReleaseRunOptions, OrtRunOptions*)                                                                              \
  SLOT(98, void, ReleaseTypeInfo, OrtTypeInfo*)                                                                                  \
  SLOT(99, void, ReleaseTensorTypeAndShapeInfo, OrtTensorTypeAndShapeInfo*)                                                      \
  SLOT(100, void, ReleaseSessionOptions, OrtSessionOptions*)                                                                     \
  SLOT(101, void, ReleaseCustomOpDomain, OrtCustomOpDomain*)                                                                     \
  SLOT(110, OrtStatus*, SessionEndProfiling, OrtSession*, OrtAllocator*, char** file)                                            \
  SLOT(130, OrtStatus*, AddSessionConfigEntry, OrtSessionOptions*, const char* key, const char* value)                           \
  SLOT(163, OrtStatus*, KernelInfoGetAttributeArray_int64, const OrtKernelInfo*, const char* name, int64_t*, size_t* count)      \
  SLOT(210, OrtStatus*, AddExternalInitializers, OrtSessionOptions*, const char* const* names, const OrtValue* const* values, size_t count) \
  SLOT(244, OrtStatus*, KernelInfo_GetNodeName, const OrtKernelInfo*, char* name, size_t* bytes)                                 \
  SLOT(249, OrtStatus*, KernelInfoGetConstantInput_tensor, const OrtKernelInfo*, size_t index, int* is_constant, const OrtValue**) \
  SLOT(268, OrtStatus*, ShapeInferContext_GetInputTypeShape, const OrtShapeInferContext*, size_t index, OrtTensorTypeAndShapeInfo**) \
  SLOT(269, OrtStatus*, ShapeInferContext_GetAttribute, const OrtShapeInferContext*, const char* name, const OrtOpAttr**)        \
  SLOT(270, OrtStatus*, ShapeInferContext_SetOutputTypeShape, const OrtShapeInferContext*, size_t index, const OrtTensorTypeAndShapeInfo*) \
  SLOT(272, OrtStatus*, ReadOpAttr, const OrtOpAttr*, OrtOpAttrType, void* data, size_t bytes, size_t* needed)                   \
  SLOT(274, OrtStatus*, KernelContext_ParallelFor, const OrtKernelContext*, void (*task)(void*, size_t), size_t total, size_t batches, void* data)
// clang-format on

// The slots as typed function pointers.
struct Api {
#define DISTRI_ORT_MEMBER(index, result, name, ...) result (*name)(__VA_ARGS__) = nullptr;
  DISTRI_ORT_SLOTS(DISTRI_ORT_MEMBER)
#undef DISTRI_ORT_MEMBER
};

}  // namespace distri::ort
