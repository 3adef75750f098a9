#include "ort/library.h"

#include <dlfcn.h>

#include <cstdio>
#include <mutex>
#include <stdexcept>

#include "ort/handles.h"

namespace distri::ort {
namespace {

struct Library {
  std::string path;
  std::string version;
  Api api;
  OrtEnv* env = nullptr;
};

std::mutex loading;
// Never freed: sessions may outlive static destruction, and the library stays loaded.
Library* library = nullptr;

const OrtApiBase& OpenLibrary(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw std::runtime_error(dlerror());
  void* symbol = dlsym(handle, "OrtGetApiBase");
  if (symbol == nullptr) throw std::runtime_error(path + " is not ONNX Runtime: it lacks OrtGetApiBase");
  return *reinterpret_cast<const OrtApiBase* (*)()>(symbol)();
}

void CheckVersion(const std::string& version, const std::string& path) {
  int major = 0;
  int minor = 0;
  const bool parsed = std::sscanf(version.c_str(), "%d.%d", &major, &minor) == 2;
  if (!parsed || major != 1 || minor < 20 || minor > 39) {
    throw std::runtime_error("found ONNX Runtime " + version + " at " + path + ", required 1.20 to 1.39");
  }
}

Api ReadSlots(const OrtApi* table) {
  const auto* slots = reinterpret_cast<void* const*>(table);
  Api api;
#define DISTRI_ORT_READ(index, result, name, ...) \
  api.name = reinterpret_cast<result (*)(__VA_ARGS__)>(slots[index]);
  DISTRI_ORT_SLOTS(DISTRI_ORT_READ)
#undef DISTRI_ORT_READ
  return api;
}

}  // namespace

std::string LoadLibrary(const std::string& path) {
  const std::lock_guard<std::mutex> lock(loading);
  if (library != nullptr) {
    if (library->path == path) return library->version;
    throw std::runtime_error("ONNX Runtime is already loaded from " + library->path);
  }
  const OrtApiBase& base = OpenLibrary(path);
  auto loaded = std::make_unique<Library>();
  loaded->path = path;
  loaded->version = base.GetVersionString();
  CheckVersion(loaded->version, path);
  const OrtApi* table = base.GetApi(kApiVersion);
  if (table == nullptr) throw std::runtime_error(path + " does not offer C API version 20");
  loaded->api = ReadSlots(table);
  library = loaded.release();
  // Messages reach users as errors; without this a failing node would print them a second time.
  Check(library->api.CreateEnv(ORT_LOGGING_LEVEL_FATAL, "distri", &library->env));
  return library->version;
}

const Api& api() {
  if (library == nullptr) throw std::runtime_error("ONNX Runtime is not loaded: call loadOnnxRuntime first");
  return library->api;
}

OrtEnv* environment() {
  api();
  return library->env;
}

}  // namespace distri::ort
