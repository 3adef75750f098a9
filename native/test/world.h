// Runs of a transport: what its ranks, as threads or processes of a test, need to meet.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "comm/transport.h"
#include "test/harness.h"

namespace distri::test {

constexpr int64_t kPatienceMs = 15'000;

// A memfd.
class File {
 public:
  File();
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int fd() const { return fd_; }

 private:
  int fd_;
};

using SlotBytes = std::vector<std::vector<uint64_t>>;

// Slots of these sizes, [slot][rank], that all other ranks read.
std::vector<SlotSpec> ReadByAll(const SlotBytes& slot_bytes);

// One run.
class World {
 public:
  World(const Transport& transport, int world_size, int channels = 1);

  int size() const { return run_.world_size; }
  const RunOptions& run() const { return run_; }
  int segment_fd(int rank, int channel = 0) const;
  // As the parent sees it.
  Liveness& liveness() const { return *liveness_; }
  // As another process would see it.
  std::unique_ptr<Liveness> Open() const { return transport_.open(run_); }

  CommunicatorOptions Options(int rank, const SlotBytes& slot_bytes, int64_t timeout_ms = kPatienceMs,
                              uint64_t generation = 1, int channel = 0) const;
  std::unique_ptr<Communicator> Make(const CommunicatorOptions& options) const;
  std::unique_ptr<Communicator> Connected(const CommunicatorOptions& options) const;

  // Everybody has a slot of `bytes`.
  SlotBytes OneSlot(uint64_t bytes) const;

 private:
  const Transport& transport_;
  File control_;
  std::vector<std::unique_ptr<File>> segments_;
  RunOptions run_;
  std::unique_ptr<Liveness> liveness_;
};

// Says that a rank is alive for as long as this lives.
class Heart {
 public:
  Heart(const World& run, int rank)
      : thread_([this, &run, rank] {
          while (!stopped_) {
            run.liveness().beat(rank);
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
          }
        }) {}
  ~Heart() {
    stopped_ = true;
    thread_.join();
  }
  Heart(const Heart&) = delete;
  Heart& operator=(const Heart&) = delete;

 private:
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

// Forks a process that ends with `function`; its status is 0 if that throws nothing.
pid_t Fork(const std::function<void()>& function);
// As waitpid() tells it.
int StatusOf(pid_t pid);

// Every rank in a process.
void InProcesses(int world_size, const RankFunction& function);

using Runner = void (*)(int, const RankFunction&);
constexpr Runner kRunners[] = {InThreads, InProcesses};

// Runs `function`, which has to throw a CommError with this code and these words in its message.
void ExpectError(CommErrorCode code, const std::string& words, const std::function<void()>& function);

}  // namespace distri::test
