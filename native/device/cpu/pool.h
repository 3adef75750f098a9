// The threads of a program: one pool for all its commands.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace distri::device::cpu {

class Pool {
 public:
  // Threads that compute, the calling one included: `threads` - 1 are started.
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(0) to task(tasks - 1), each once, on whichever thread is free; returns when all are done, with
  // their writes seen. Tasks may neither throw nor call Run, and what they compute may not depend on threads().
  template <class Task>
  void Run(int64_t tasks, Task&& task) {
    using Plain = std::remove_reference_t<Task>;
    RunTasks(tasks, [](void* context, int64_t index) { (*static_cast<Plain*>(context))(index); },
             const_cast<std::remove_const_t<Plain>*>(&task));
  }

 private:
  using Call = void (*)(void* context, int64_t task);
  struct Job {
    Call call = nullptr;
    void* context = nullptr;
    int64_t tasks = 0;
  };

  // The round of a job, whether it is open, and how many workers are in it: who comes late, because something
  // else ran on its processor, finds the round closed and keeps nobody waiting.
  static constexpr uint64_t kInside = 0xffff;
  static constexpr uint64_t kOpen = kInside + 1;
  static constexpr uint64_t kRound = 2 * kOpen;

  void RunTasks(int64_t tasks, Call call, void* context);
  void Work();
  bool Enter();
  void TakeTasks(const Job& job);
  uint64_t Round() const { return state_.load() / kRound; }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  Job job_;
  std::atomic<uint64_t> state_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> ending_{false};
};

}  // namespace distri::device::cpu
