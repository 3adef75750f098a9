// Tasks that run on threads of a library written in C, whose frames no exception may pass.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <utility>

namespace distri::ops {

// Runs tasks by number, from any thread, and keeps what the first that failed has thrown. Those that come
// after it are left out.
template <class Task>
class TaskGuard {
 public:
  // `task` outlives this.
  explicit TaskGuard(Task& task) : task_(task) {}

  void Run(size_t index) noexcept {
    if (failed_.load(std::memory_order_relaxed)) return;
    try {
      task_(index);
    } catch (...) {
      Keep(std::current_exception());
    }
  }

  // Throws what was kept. When all tasks are done.
  void Rethrow() const {
    if (failed_.load()) std::rethrow_exception(first_);
  }

 private:
  void Keep(std::exception_ptr error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (first_) return;
    first_ = std::move(error);
    failed_.store(true);
  }

  Task& task_;
  std::mutex mutex_;
  std::exception_ptr first_;
  std::atomic<bool> failed_{false};
};

}  // namespace distri::ops
