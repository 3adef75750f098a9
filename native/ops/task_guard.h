// Tasks that run on threads of a library written in C, whose frames no exception may pass.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <utility>

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

namespace distri::ops {

// How a library that ThreadSanitizer does not see into hands tasks to its threads and waits for them: what
// was written before is seen after.
class Handover {
 public:
#ifdef __SANITIZE_THREAD__
  void Give() { __tsan_release(this); }
  void Take() { __tsan_acquire(this); }
#else
  void Give() {}
  void Take() {}
#endif
};

// Runs tasks by number, from any thread, and keeps what the first that failed has thrown. Those that come
// after it are left out.
template <class Task>
class TaskGuard {
 public:
  // `task` outlives this.
  explicit TaskGuard(Task& task) : task_(task) { begun_.Give(); }

  void Run(size_t index) noexcept {
    begun_.Take();
    if (!failed_.load(std::memory_order_relaxed)) {
      try {
        task_(index);
      } catch (...) {
        Keep(std::current_exception());
      }
    }
    done_.Give();
  }

  // When all tasks are done; throws what was kept.
  void Finish() {
    done_.Take();
    if (first_) std::rethrow_exception(first_);
  }

 private:
  void Keep(std::exception_ptr error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (first_) return;
    first_ = std::move(error);
    failed_.store(true);
  }

  Task& task_;
  Handover begun_;
  Handover done_;
  std::mutex mutex_;
  std::exception_ptr first_;
  std::atomic<bool> failed_{false};
};

}  // namespace distri::ops
