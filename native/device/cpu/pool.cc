#include "device/cpu/pool.h"

#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace distri::device::cpu {
namespace {

// Commands follow each other within microseconds; between steps threads sleep.
constexpr auto kSpin = std::chrono::microseconds(200);

void Relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

template <class Condition>
bool SpinUntil(const Condition& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int turn = 0; turn < 64; ++turn) {
      if (condition()) return true;
      Relax();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

}  // namespace

Pool::Pool(int threads) {
  for (int worker = 1; worker < threads; ++worker) workers_.emplace_back([this] { Work(); });
}

Pool::~Pool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
    state_.fetch_add(kRound);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::RunTasks(int64_t tasks, Call call, void* context) {
  if (tasks <= 0) return;
  if (workers_.empty() || tasks == 1) {
    for (int64_t task = 0; task < tasks; ++task) call(context, task);
    return;
  }
  job_ = {call, context, tasks};
  next_.store(0, std::memory_order_relaxed);
  state_.fetch_add(kRound + kOpen);
  if (sleepers_.load() > 0) {
    // Who is about to sleep holds the mutex until it does.
    { const std::lock_guard<std::mutex> lock(mutex_); }
    wake_.notify_all();
  }
  TakeTasks(job_);
  state_.fetch_sub(kOpen);
  while (!SpinUntil([this] { return (state_.load() & kInside) == 0; })) std::this_thread::yield();
}

void Pool::Work() {
  uint64_t seen = 0;
  for (;;) {
    const auto called = [&] { return Round() != seen; };
    if (!SpinUntil(called)) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleepers_.fetch_add(1);
      wake_.wait(lock, called);
      sleepers_.fetch_sub(1);
    }
    seen = Round();
    if (ending_) return;
    if (!Enter()) continue;
    TakeTasks(job_);
    state_.fetch_sub(1);
  }
}

bool Pool::Enter() {
  uint64_t state = state_.load();
  while ((state & kOpen) != 0) {
    if (state_.compare_exchange_weak(state, state + 1)) return true;
  }
  return false;
}

void Pool::TakeTasks(const Job& job) {
  for (int64_t task = next_.fetch_add(1); task < job.tasks; task = next_.fetch_add(1)) {
    job.call(job.context, task);
  }
}

}  // namespace distri::device::cpu
