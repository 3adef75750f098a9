#include "napi/errors.h"

#include <exception>

#include "comm/communicator.h"

namespace distri {

Napi::Error ToJavaScript(Napi::Env env, const NativeError& error) {
  Napi::Error result = Napi::Error::New(env, error.what());
  result.Set("code", Napi::String::New(env, error.code()));
  return result;
}

NativeError CurrentError() {
  try {
    throw;
  } catch (const NativeError& error) {
    return error;
  } catch (const CommError& error) {
    return NativeError(ErrorCode(error.code()), error.what());
  } catch (const std::exception& error) {
    return NativeError("ORT", error.what());
  } catch (...) {
    return NativeError("ORT", "something that is no exception was thrown");
  }
}

}  // namespace distri
