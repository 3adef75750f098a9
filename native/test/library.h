// ONNX Runtime, as the tests use it.
#pragma once

namespace distri::test {

// Loads the library that DISTRI_ORT_LIBRARY names.
void LoadLibrary();

// Before a thread uses the library for the first time. What it keeps for itself from then on, for the process
// or for the thread, is not ours to free, and not said to be forgotten.
void EnterLibrary();

// Where memory is looked for that nobody frees, sessions have one thread: what the library keeps for its own
// it forgets as well.
constexpr int AtMostThreads(int threads) {
#ifdef __SANITIZE_ADDRESS__
  return threads > 1 ? 1 : threads;
#else
  return threads;
#endif
}

}  // namespace distri::test
