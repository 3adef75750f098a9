// What the C++ tests share: checks that throw, and a main function that runs tests by name.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace distri::test {

class Failure : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void Check(bool condition, const std::string& what) {
  if (!condition) throw Failure(what);
}

// Runs `function`, which has to throw an exception of this type with these words in its message; returns it.
template <class Error>
Error Expect(const std::string& words, const std::function<void()>& function) {
  try {
    function();
  } catch (const Error& error) {
    const std::string message = error.what();
    Check(message.find(words) != std::string::npos, "expected \"" + words + "\" in \"" + message + "\"");
    return error;
  }
  throw Failure("no error, expected \"" + words + "\"");
}

using RankFunction = std::function<void(int rank)>;

// Every rank in a thread; throws the first error.
inline void InThreads(int world_size, const RankFunction& function) {
  std::vector<std::exception_ptr> errors(static_cast<size_t>(world_size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world_size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        function(rank);
      } catch (...) {
        errors[static_cast<size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

using Clock = std::chrono::steady_clock;

inline int64_t MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count();
}

struct Test {
  std::string name;
  std::function<void()> run;
};

#define DISTRI_TEST(name) \
  ::distri::test::Test { #name, name }

// Runs the tests whose name contains the program's argument, or all. Returns the status of the program.
int RunTests(const std::vector<Test>& tests, int argc, char** argv);

}  // namespace distri::test
