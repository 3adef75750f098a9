#include "ort/session.h"

#include "ops/list.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace distri::ort {
namespace {

// Blocks of this size and more go back to the system when they are freed. glibc by itself raises the limit to
// 32 MiB as soon as blocks of that size are used, and keeps what is below.
void ReturnLargeBlocks() {
#ifdef __GLIBC__
  constexpr int kLargeBlock = 1 << 20;
  mallopt(M_MMAP_THRESHOLD, kLargeBlock);
#endif
}

SessionOptionsHandle MakeOptions(const SessionConfig& config, OrtCustomOpDomain* domain) {
  auto options = Make<SessionOptionsHandle>(api().CreateSessionOptions);
  const auto set = [&](const char* key, const char* value) {
    Check(api().AddSessionConfigEntry(options.get(), key, value));
  };
  Check(api().SetSessionLogSeverityLevel(options.get(), ORT_LOGGING_LEVEL_FATAL));
  Check(api().SetSessionGraphOptimizationLevel(options.get(), ORT_ENABLE_ALL));
  Check(api().SetIntraOpNumThreads(options.get(), config.threads));
  // A thread that spins between operators is there at once for the next one, but ranks wait for each other
  // and may share cores: it would take time from the rank waited for.
  set("session.intra_op.allow_spinning", config.communicator ? "0" : "1");
  set("session.intra_op.spin_duration_us", "1000");
  // ONNX Runtime refuses absolute locations, and symbolic links that leave this folder.
  set("session.model_external_initializers_file_folder_path", "/");
  if (config.share_weights) {
    // Prepacking, and the blocked layout that is disabled below, replace file-backed weights by private
    // copies.
    set("session.disable_prepacking", "1");
  }
  // An addition that becomes part of a shortcut's convolution moves it to the end of its block, and what it
  // reads cannot be overwritten until then.
  std::string disabled = config.keep_memory ? "" : "ConvAddActivationFusion";
  if (config.share_weights) disabled += disabled.empty() ? "NchwcTransformer" : ";NchwcTransformer";
  if (!disabled.empty()) set("optimization.disable_specified_optimizers", disabled.c_str());
  if (!config.keep_memory) {
    // The arena grows in powers of two and gives nothing back.
    Check(api().DisableCpuMemArena(options.get()));
    Check(api().DisableMemPattern(options.get()));
    ReturnLargeBlocks();
  }
  if (!config.profile.empty()) Check(api().EnableProfiling(options.get(), config.profile.c_str()));
  Check(api().AddCustomOpDomain(options.get(), domain));
  return options;
}

OrtAllocator* DefaultAllocator() {
  OrtAllocator* allocator = nullptr;
  Check(api().GetAllocatorWithDefaultOptions(&allocator));
  return allocator;
}

// Takes over a string that ONNX Runtime allocated.
std::string TakeString(char* text) {
  const std::string copy = text;
  Check(api().AllocatorFree(DefaultAllocator(), text));
  return copy;
}

Signature ReadSignature(std::string name, const OrtTypeInfo* type) {
  const OrtTensorTypeAndShapeInfo* info = nullptr;
  Check(api().CastTypeInfoToTensorInfo(type, &info));
  if (info == nullptr) throw OrtError(name + " is not a tensor");
  Signature signature{std::move(name), ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED, {}};
  Check(api().GetTensorElementType(info, &signature.type));
  size_t rank = 0;
  Check(api().GetDimensionsCount(info, &rank));
  signature.shape.resize(rank);
  Check(api().GetDimensions(info, signature.shape.data(), rank));
  return signature;
}

// One side of the graph: its count, names and types come from three functions of the same form.
template <class Count, class Name, class Type>
std::vector<Signature> ReadSide(OrtSession* session, Count count, Name name, Type type) {
  size_t total = 0;
  Check(count(session, &total));
  std::vector<Signature> signatures;
  for (size_t i = 0; i < total; ++i) {
    char* text = nullptr;
    Check(name(session, i, DefaultAllocator(), &text));
    const auto info = Make<TypeInfoHandle>(type, session, i);
    signatures.push_back(ReadSignature(TakeString(text), info.get()));
  }
  return signatures;
}

std::vector<const char*> Names(const std::vector<Signature>& signatures) {
  std::vector<const char*> names;
  for (const Signature& signature : signatures) names.push_back(signature.name.c_str());
  return names;
}

std::vector<ValueHandle> Wrap(const OrtMemoryInfo* memory, const std::vector<TensorView>& tensors) {
  std::vector<ValueHandle> values;
  for (const TensorView& tensor : tensors) {
    values.push_back(Make<ValueHandle>(api().CreateTensorWithDataAsOrtValue, memory, tensor.data,
                                       tensor.bytes, tensor.shape.data(), tensor.shape.size(), tensor.type));
  }
  return values;
}

std::vector<OrtValue*> Pointers(const std::vector<ValueHandle>& values) {
  std::vector<OrtValue*> pointers;
  for (const ValueHandle& value : values) pointers.push_back(value.get());
  return pointers;
}

}  // namespace

Session::Session(const void* model, size_t bytes, const SessionConfig& config)
    : domain_(ops::Operators{}, context_), profiles_(!config.profile.empty()) {
  context_.communicator = config.communicator;
  context_.rank = config.rank;
  context_.threads = config.threads;
  context_.private_weights = !config.share_weights;
  try {
    Create(model, bytes, config);
    ReadSignatures();
  } catch (const OrtError& error) {
    Fail(error.what());
  }
}

Session::~Session() {
  if (!profiles_) return;
  try {
    char* file = nullptr;
    Check(api().SessionEndProfiling(session_.get(), DefaultAllocator(), &file));
    TakeString(file);
  } catch (...) {
    // A profile that can't be written is no reason to fail.
  }
}

void Session::Create(const void* model, size_t bytes, const SessionConfig& config) {
  memory_ = Make<MemoryInfoHandle>(api().CreateCpuMemoryInfo, OrtDeviceAllocator, OrtMemTypeDefault);
  run_options_ = Make<RunOptionsHandle>(api().CreateRunOptions);
  const SessionOptionsHandle options = MakeOptions(config, domain_.get());
  GiveInitializers(options.get(), config);
  session_ = Make<SessionHandle>(api().CreateSessionFromArray, environment(), model, bytes, options.get());
}

void Session::GiveInitializers(OrtSessionOptions* options, const SessionConfig& config) const {
  if (config.initializers.empty()) return;
  std::vector<const char*> names;
  std::vector<TensorView> views;
  for (const auto& [name, view] : config.initializers) {
    names.push_back(name.c_str());
    views.push_back(view);
  }
  const std::vector<ValueHandle> values = Wrap(memory_.get(), views);
  const std::vector<OrtValue*> pointers = Pointers(values);
  Check(api().AddExternalInitializers(options, names.data(), pointers.data(), names.size()));
}

void Session::ReadSignatures() {
  inputs_ = ReadSide(session_.get(), api().SessionGetInputCount, api().SessionGetInputName,
                     api().SessionGetInputTypeInfo);
  outputs_ = ReadSide(session_.get(), api().SessionGetOutputCount, api().SessionGetOutputName,
                      api().SessionGetOutputTypeInfo);
}

void Session::Prepare() { Check(api().RunOptionsUnsetTerminate(run_options_.get())); }

void Session::Run(const std::vector<TensorView>& inputs, const std::vector<TensorView>& outputs,
                  std::optional<Step> step) {
  context_.step = step;
  context_.failure.reset();
  try {
    const std::vector<ValueHandle> input_values = Wrap(memory_.get(), inputs);
    const std::vector<ValueHandle> output_values = Wrap(memory_.get(), outputs);
    std::vector<OrtValue*> output_pointers = Pointers(output_values);
    Check(api().Run(session_.get(), run_options_.get(), Names(inputs_).data(), Pointers(input_values).data(),
                    inputs.size(), Names(outputs_).data(), outputs.size(), output_pointers.data()));
  } catch (const OrtError& error) {
    Fail(error.what());
  }
}

void Session::Terminate() { Check(api().RunOptionsSetTerminate(run_options_.get())); }

void Session::Fail(const std::string& message) const {
  if (context_.failure) throw *context_.failure;
  throw NativeError("ORT", message);
}

}  // namespace distri::ort
