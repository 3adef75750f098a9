// Tests of the shared memory communicator, with ranks that are threads and ranks that are processes.
// Data races show in the thread ranks under ThreadSanitizer, see SharedMappings.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "comm/shm/control_block.h"
#include "comm/shm/shm_communicator.h"

namespace {

using distri::CommError;
using distri::CommErrorCode;
using distri::shm::ControlBlock;
using distri::shm::ShmCommunicator;
using distri::shm::ShmOptions;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using SlotBytes = std::vector<std::vector<size_t>>;

constexpr int kWorldSizes[] = {1, 2, 3, 4, 5, 8};
constexpr int64_t kPatienceMs = 15'000;

class Failure : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

void Check(bool condition, const std::string& what) {
  if (!condition) throw Failure(what);
}

int64_t MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration_cast<milliseconds>(Clock::now() - start).count();
}

// Runs `function`, which has to throw a CommError with this code and these words in its message.
void ExpectError(CommErrorCode code, const std::string& words, const std::function<void()>& function) {
  try {
    function();
  } catch (const CommError& error) {
    Check(error.code() == code, "another code than expected with: " + std::string(error.what()));
    Check(std::strstr(error.what(), words.c_str()) != nullptr,
          "expected \"" + words + "\" in \"" + error.what() + "\"");
    return;
  }
  throw Failure("no error, expected \"" + words + "\"");
}

// A memfd.
class File {
 public:
  File() : fd_(memfd_create("comm_test", MFD_CLOEXEC)) { Check(fd_ >= 0, "memfd_create"); }
  ~File() { close(fd_); }
  File(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

// The descriptors of a run.
class Run {
 public:
  explicit Run(int world_size) : world_size_(world_size), control_block_(control_.fd(), world_size) {
    for (int rank = 0; rank < world_size; ++rank) segments_.push_back(std::make_unique<File>());
  }

  int world_size() const { return world_size_; }
  int control_fd() const { return control_.fd(); }
  int segment_fd(int rank) const { return segments_[static_cast<size_t>(rank)]->fd(); }
  ControlBlock& control_block() { return control_block_; }

  ShmOptions Options(int rank, const SlotBytes& slot_bytes, int64_t timeout_ms = kPatienceMs,
                     uint64_t generation = 1) const {
    ShmOptions options;
    options.rank = rank;
    options.world_size = world_size_;
    options.control_fd = control_.fd();
    for (const auto& segment : segments_) options.segment_fds.push_back(segment->fd());
    options.slot_bytes = slot_bytes;
    options.timeout = milliseconds(timeout_ms);
    options.generation = generation;
    return options;
  }

  // Everybody has a slot of `bytes`.
  SlotBytes OneSlot(size_t bytes) const {
    return {std::vector<size_t>(static_cast<size_t>(world_size_), bytes)};
  }

 private:
  int world_size_;
  File control_;
  std::vector<std::unique_ptr<File>> segments_;
  ControlBlock control_block_;
};

using RankFunction = std::function<void(int rank)>;

// Every rank in a thread; throws the first error.
void InThreads(int world_size, const RankFunction& function) {
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

// Forks a process that ends with `function`; its status is 0 if that throws nothing.
pid_t Fork(const std::function<void()>& function) {
  std::fflush(nullptr);
  const pid_t pid = fork();
  Check(pid >= 0, "fork");
  if (pid > 0) return pid;
  try {
    function();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "  in process %d: %s\n", getpid(), error.what());
    _exit(1);
  }
  _exit(0);
}

int StatusOf(pid_t pid) {
  int status = 0;
  Check(waitpid(pid, &status, 0) == pid, "waitpid");
  return status;
}

// Every rank in a process.
void InProcesses(int world_size, const RankFunction& function) {
  std::vector<pid_t> pids;
  for (int rank = 0; rank < world_size; ++rank) pids.push_back(Fork([&, rank] { function(rank); }));
  bool all = true;
  for (const pid_t pid : pids) all = StatusOf(pid) == 0 && all;
  Check(all, "a process failed");
}

using Runner = void (*)(int, const RankFunction&);
constexpr Runner kRunners[] = {InThreads, InProcesses};

std::unique_ptr<ShmCommunicator> Connected(const ShmOptions& options) {
  auto communicator = std::make_unique<ShmCommunicator>(options);
  communicator->Connect();
  return communicator;
}

// Data that says whose it is: differs by rank, slot, tick and place.
std::vector<uint8_t> Pattern(int rank, int slot, int64_t tick, size_t bytes) {
  std::minstd_rand random(static_cast<unsigned>(1 + rank * 131 + slot * 10'007 + tick * 1'000'003));
  std::vector<uint8_t> data(bytes);
  for (uint8_t& byte : data) byte = static_cast<uint8_t>(random() >> 8);
  return data;
}

void CheckSame(const void* actual, const std::vector<uint8_t>& expected, const std::string& what) {
  Check(expected.empty() || std::memcmp(actual, expected.data(), expected.size()) == 0, "wrong " + what);
}

void Publish(ShmCommunicator& comm, int slot, int64_t tick) {
  const auto data = Pattern(comm.rank(), slot, tick, comm.slot_bytes(slot, comm.rank()));
  std::copy(data.begin(), data.end(), static_cast<uint8_t*>(comm.buffer(slot, tick)));
  comm.publish(slot, tick);
}

void CheckFetched(ShmCommunicator& comm, int slot, int peer, int64_t tick) {
  CheckSame(comm.fetch(slot, peer, tick), Pattern(peer, slot, tick, comm.slot_bytes(slot, peer)),
            "data of rank " + std::to_string(peer) + " at tick " + std::to_string(tick));
}

// Slots of other sizes for every rank: none, odd, one cache line, more than a page.
SlotBytes UnevenSlots(int world_size) {
  SlotBytes slots;
  for (const size_t base : {size_t{0}, size_t{1}, size_t{64}, size_t{5000}}) {
    std::vector<size_t> bytes;
    for (int rank = 0; rank < world_size; ++rank) bytes.push_back(base * static_cast<size_t>(rank + 1));
    slots.push_back(bytes);
  }
  return slots;
}

// A step as the strategies make it: publish everything, read the peers' data of `read_tick`, gather the
// output.
void StepOnce(
    ShmCommunicator& comm, int slots, int64_t tick, int64_t read_tick,
    const std::function<void()>& pause = [] {}) {
  const int output = slots - 1;
  for (int slot = 0; slot < output; ++slot) {
    pause();
    Publish(comm, slot, tick);
    for (int peer = 0; peer < comm.size(); ++peer) {
      if (peer != comm.rank()) CheckFetched(comm, slot, peer, read_tick);
    }
  }
  Publish(comm, output, tick);
  for (int peer = 0; peer < comm.size(); ++peer) CheckFetched(comm, output, peer, tick);
}

void PublishedDataIsFetchedByAllRanks() {
  for (const Runner runner : kRunners) {
    for (const int world_size : kWorldSizes) {
      const Run run(world_size);
      runner(world_size, [&](int rank) {
        const auto comm = Connected(run.Options(rank, UnevenSlots(world_size)));
        for (int64_t tick = 0; tick < 6; ++tick) StepOnce(*comm, 4, tick, tick);
      });
    }
  }
}

void StaleStepsReadTheTickBefore() {
  for (const Runner runner : kRunners) {
    for (const int world_size : {2, 3, 5}) {
      const Run run(world_size);
      runner(world_size, [&](int rank) {
        const auto comm = Connected(run.Options(rank, UnevenSlots(world_size)));
        StepOnce(*comm, 4, 0, 0);
        for (int64_t tick = 1; tick < 20; ++tick) StepOnce(*comm, 4, tick, tick - 1);
      });
    }
  }
}

void RandomDelaysDoNotChangeWhatIsRead() {
  const int world_size = 4;
  const Run run(world_size);
  InThreads(world_size, [&](int rank) {
    std::minstd_rand random(static_cast<unsigned>(rank + 1));
    const auto pause = [&] { std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000)); };
    const auto comm = Connected(run.Options(rank, UnevenSlots(world_size)));
    StepOnce(*comm, 4, 0, 0, pause);
    for (int64_t tick = 1; tick < 40; ++tick) StepOnce(*comm, 4, tick, tick - 1, pause);
  });
}

void ALeftOutTickLeavesTheOnesBeforeReadable() {
  const Run run(2);
  InThreads(2, [&](int rank) {
    const auto comm = Connected(run.Options(rank, run.OneSlot(100)));
    Publish(*comm, 0, 3);
    for (int i = 0; i < 3; ++i) {
      CheckFetched(*comm, 0, 1 - rank, 3);
      comm->barrier();
    }
    Publish(*comm, 0, 8);
    CheckFetched(*comm, 0, 1 - rank, 8);
    CheckFetched(*comm, 0, 1 - rank, 3);
  });
}

void OverwrittenDataIsAnError() {
  const Run run(2);
  InThreads(2, [&](int rank) {
    const auto comm = Connected(run.Options(rank, run.OneSlot(10)));
    if (rank == 0) {
      for (const int64_t tick : {0, 1, 2}) Publish(*comm, 0, tick);
    }
    comm->barrier();
    if (rank == 1) {
      ExpectError(CommErrorCode::kProtocol, "tick 0", [&] { comm->fetch(0, 0, 0); });
      CheckFetched(*comm, 0, 0, 1);
      CheckFetched(*comm, 0, 0, 2);
    }
    comm->barrier();
    if (rank == 0) comm->buffer(0, 3);
    comm->barrier();
    // Its owner may be writing to it.
    if (rank == 1) ExpectError(CommErrorCode::kProtocol, "tick 1", [&] { comm->fetch(0, 0, 1); });
  });
}

void TicksDoNotRepeat() {
  const Run run(1);
  const auto comm = Connected(run.Options(0, run.OneSlot(10)));
  for (const int64_t tick : {0, 1, 2}) Publish(*comm, 0, tick);
  ExpectError(CommErrorCode::kProtocol, "tick 2", [&] { comm->publish(0, 2); });
  ExpectError(CommErrorCode::kProtocol, "tick 0", [&] { comm->buffer(0, 0); });
  ExpectError(CommErrorCode::kProtocol, "tick -1", [&] { comm->buffer(0, -1); });
}

void WaitsEndWithTheTimeout() {
  const Run run(3);
  InThreads(3, [&](int rank) {
    const auto comm = Connected(run.Options(rank, run.OneSlot(10), 200));
    if (rank != 0) return;
    const auto expect_timeout = [&](const std::function<void()>& wait) {
      const auto start = Clock::now();
      ExpectError(CommErrorCode::kTimeout, "waited 0.2 s for rank 1", wait);
      Check(MillisecondsSince(start) >= 200 && MillisecondsSince(start) < 1000, "the timeout is kept");
    };
    expect_timeout([&] { comm->fetch(0, 1, 0); });
    expect_timeout([&] { comm->barrier(); });
    int64_t value = 0;
    expect_timeout([&] { comm->broadcast(&value, sizeof value, 1); });
    Check(comm->statistics().nanoseconds_waited >= 600'000'000, "waiting is counted when it fails, too");
  });
}

void ConnectingWaitsNoLongerThanTheTimeout() {
  const Run run(2);
  ShmCommunicator comm(run.Options(0, {}, 200));
  ExpectError(CommErrorCode::kTimeout, "waited 0.2 s for rank 1", [&] { comm.Connect(); });
}

// `wait` blocks until the run is aborted by rank 1.
void ExpectPromptAbort(Run& run, const std::function<void()>& wait) {
  std::atomic<Clock::duration> aborted_at{Clock::duration::zero()};
  std::thread aborter([&] {
    std::this_thread::sleep_for(milliseconds(150));
    aborted_at = Clock::now().time_since_epoch();
    run.control_block().Abort(1);
    run.control_block().Abort(0);
  });
  try {
    ExpectError(CommErrorCode::kAborted, "rank 1 stopped the run", wait);
  } catch (...) {
    aborter.join();
    throw;
  }
  const auto woken = Clock::now();
  aborter.join();
  Check(MillisecondsSince(Clock::time_point(aborted_at.load())) < 100 &&
            woken.time_since_epoch() >= aborted_at.load(),
        "an abort is noticed within 100 ms");
}

void AbortWakesWaiters() {
  for (int operation = 0; operation < 3; ++operation) {
    Run run(2);
    InThreads(2, [&](int rank) {
      const auto comm = Connected(run.Options(rank, run.OneSlot(10)));
      if (rank != 0) return;
      uint8_t byte = 0;
      ExpectPromptAbort(run, [&] {
        if (operation == 0) comm->fetch(0, 1, 0);
        if (operation == 1) comm->barrier();
        if (operation == 2) comm->broadcast(&byte, 1, 1);
      });
    });
    Check(run.control_block().aborted_by() == 1, "the first to abort is kept");
  }
  Run run(2);
  ShmCommunicator comm(run.Options(0, {}));
  ExpectPromptAbort(run, [&] { comm.Connect(); });
}

void PublishingWakesASleeper() {
  const Run run(2);
  std::atomic<int64_t> fetching{-1};
  std::atomic<Clock::duration> published{};
  auto shortest = Clock::duration::max();
  InThreads(2, [&](int rank) {
    const auto comm = Connected(run.Options(rank, run.OneSlot(10)));
    for (int64_t tick = 0; tick < 8; ++tick) {
      if (rank == 0) {
        while (fetching < tick) std::this_thread::yield();
        // Early in a time slice of the sleeper.
        std::this_thread::sleep_for(milliseconds(10));
        published = Clock::now().time_since_epoch();
        Publish(*comm, 0, tick);
      } else {
        fetching = tick;
        comm->fetch(0, 0, tick);
        shortest = std::min(shortest, Clock::now().time_since_epoch() - published.load());
      }
    }
  });
  Check(shortest < milliseconds(10), "a wake does not wait for the end of a time slice");
}

void AnAbortedRunCannotBeJoined() {
  Run run(1);
  run.control_block().Abort(-1);
  ExpectError(CommErrorCode::kAborted, "the run was stopped", [&] { Connected(run.Options(0, {})); });
}

void AKilledPeerEndsTheWait() {
  Run run(2);
  const pid_t peer = Fork([&] {
    const auto comm = Connected(run.Options(1, run.OneSlot(10)));
    comm->fetch(0, 0, 5);
  });
  const auto comm = Connected(run.Options(0, run.OneSlot(10)));
  // What the launcher does about it.
  std::thread watcher([&] {
    std::this_thread::sleep_for(milliseconds(100));
    kill(peer, SIGKILL);
    StatusOf(peer);
    run.control_block().Abort(1);
  });
  const auto start = Clock::now();
  ExpectError(CommErrorCode::kAborted, "rank 1 stopped the run", [&] { comm->fetch(0, 1, 0); });
  watcher.join();
  Check(MillisecondsSince(start) < 500, "the end of a peer is noticed soon");
}

void CheckBroadcasts(ShmCommunicator& comm, const std::vector<size_t>& sizes) {
  int round = 0;
  for (const size_t bytes : sizes) {
    for (int root = 0; root < comm.size(); ++root, ++round) {
      const auto expected = Pattern(root, round, 0, bytes);
      auto data = root == comm.rank() ? expected : std::vector<uint8_t>(bytes);
      comm.broadcast(data.data(), bytes, root);
      CheckSame(data.data(), expected, "broadcast of " + std::to_string(bytes) + " bytes");
    }
  }
}

void BroadcastCopiesAnySize() {
  for (const Runner runner : kRunners) {
    for (const int world_size : {1, 2, 3, 5}) {
      const Run run(world_size);
      runner(world_size, [&](int rank) {
        CheckBroadcasts(*Connected(run.Options(rank, {})), {0, 1, 17, 4096, 300'001, 1'200'000});
      });
    }
  }
}

void BroadcastsOfOtherSizesAreAnError() {
  const Run run(2);
  InThreads(2, [&](int rank) {
    const auto comm = Connected(run.Options(rank, {}));
    uint8_t data[20] = {};
    if (rank == 0) comm->broadcast(data, 20, 0);
    if (rank == 1) {
      ExpectError(CommErrorCode::kProtocol, "rank 0", [&] { comm->broadcast(data, 10, 0); });
    }
    comm->barrier();
  });
}

void NobodyPassesABarrierEarly() {
  for (const int world_size : kWorldSizes) {
    const Run run(world_size);
    std::atomic<int> arrived{0};
    InThreads(world_size, [&](int rank) {
      const auto comm = Connected(run.Options(rank, {}));
      for (int round = 1; round <= 500; ++round) {
        ++arrived;
        comm->barrier();
        Check(arrived >= round * world_size, "all have arrived");
        comm->barrier();
      }
    });
  }
}

// A later job over the same descriptors: larger, smaller, no slots.
void GenerationsMayHaveOtherSlots() {
  const std::vector<size_t> sizes = {100'000, 1'000'000, 10, 300'000};
  for (const Runner runner : kRunners) {
    for (const int world_size : {1, 2, 4}) {
      const Run run(world_size);
      runner(world_size, [&](int rank) {
        std::minstd_rand random(static_cast<unsigned>(rank + 1));
        uint64_t generation = 0;
        for (const size_t bytes : sizes) {
          const auto comm = Connected(run.Options(rank, run.OneSlot(bytes), kPatienceMs, ++generation));
          Publish(*comm, 0, 0);
          std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
          for (int peer = 0; peer < world_size; ++peer) CheckFetched(*comm, 0, peer, 0);
          if (generation % 2 == 0) CheckBroadcasts(*comm, {300'001});
          comm->barrier();
        }
      });
    }
  }
}

void ASegmentIsNotResizedWhileAPeerReadsIt() {
  const Run run(2);
  std::atomic<bool> reading{true};
  InThreads(2, [&](int rank) {
    auto comm = Connected(run.Options(rank, run.OneSlot(1'000'000)));
    if (rank == 0) Publish(*comm, 0, 0);
    if (rank == 1) {
      std::this_thread::sleep_for(milliseconds(200));
      CheckFetched(*comm, 0, 0, 0);
      reading = false;
    }
    comm.reset();
    comm = Connected(run.Options(rank, run.OneSlot(1), kPatienceMs, 2));
    Check(!reading, "the next generation waits for the readers of the one before");
  });
}

void GenerationsFollowEachOther() {
  const Run run(1);
  const auto connect = [&](uint64_t generation) {
    return Connected(run.Options(0, run.OneSlot(10), kPatienceMs, generation));
  };
  ExpectError(CommErrorCode::kProtocol, "generation 2", [&] { connect(2); });
  auto comm = connect(1);
  ExpectError(CommErrorCode::kProtocol, "generation 1", [&] { connect(1); });
  ExpectError(CommErrorCode::kProtocol, "generation 1", [&] { connect(2); });
  Publish(*comm, 0, 0);
  CheckFetched(*comm, 0, 0, 0);
  comm.reset();
  ExpectError(CommErrorCode::kProtocol, "generation 3", [&] { connect(3); });
  connect(2);
}

void AFailedGenerationCanBeFollowedByAnother() {
  const Run run(2);
  ExpectError(CommErrorCode::kTimeout, "rank 1", [&] { Connected(run.Options(0, {}, 50)); });
  Connected(run.Options(1, {}));
  InThreads(2, [&](int rank) {
    const auto comm = Connected(run.Options(rank, run.OneSlot(10), kPatienceMs, 2));
    StepOnce(*comm, 1, 0, 0);
  });
}

// A limit of file sizes (ulimit -f) holds for shared memory, too.
void AControlBlockIsNoLargerThanNeeded() {
  const Run run(2);
  struct stat status {};
  Check(fstat(run.control_fd(), &status) == 0 && status.st_size <= 2048, "2 ranks need less than 2 KiB");
}

void DescriptorsAreChecked() {
  const Run run(2);
  ExpectError(CommErrorCode::kProtocol, "made for 2 ranks, not 3",
              [&] { ControlBlock(run.control_fd(), 3); });
  ExpectError(CommErrorCode::kProtocol, "made for 2 ranks, not 900",
              [&] { ControlBlock(run.control_fd(), 900); });
  ExpectError(CommErrorCode::kProtocol, "descriptor", [] { ControlBlock(-1, 2); });
  std::FILE* file = std::tmpfile();
  std::fputs("precious", file);
  std::fflush(file);
  ExpectError(CommErrorCode::kProtocol, "not shared memory", [&] { ControlBlock(fileno(file), 2); });
  ShmOptions options = run.Options(0, run.OneSlot(10), 100);
  options.segment_fds[0] = fileno(file);
  ExpectError(CommErrorCode::kProtocol, "not shared memory", [&] { Connected(options); });
  struct stat status {};
  Check(fstat(fileno(file), &status) == 0 && status.st_size == 8, "the file is left alone");
  std::fclose(file);
}

void ForeignMemoryIsLeftAlone() {
  Run run(1);
  ShmOptions options = run.Options(0, run.OneSlot(10));
  options.segment_fds[0] = options.control_fd;
  ExpectError(CommErrorCode::kProtocol, "something else", [&] { Connected(options); });
  run.control_block().Beat(0);

  File other;
  Check(ftruncate(other.fd(), 1 << 20) == 0 && pwrite(other.fd(), "precious", 8, 0) == 8, "write");
  ExpectError(CommErrorCode::kProtocol, "something else", [&] { ControlBlock(other.fd(), 2); });
}

// Rank 1 says that its segment is ready, but rank 0 looks at another file.
void WrongSegmentsAreRefused() {
  for (const off_t bytes : {off_t{0}, off_t{100}, off_t{1} << 21}) {
    const Run run(2);
    const File other;
    Check(ftruncate(other.fd(), bytes) == 0, "ftruncate");
    InThreads(2, [&](int rank) {
      ShmOptions options = run.Options(rank, run.OneSlot(10), 300);
      if (rank == 1) {
        Connected(options);
        return;
      }
      options.segment_fds[1] = other.fd();
      ExpectError(CommErrorCode::kProtocol, "the segment of rank 1", [&] { Connected(options); });
    });
  }
}

void RanksThatDisagreeOnSlotsDoNotConnect() {
  const Run run(2);
  // As many bytes in total.
  const SlotBytes slots[] = {{{100, 100}, {200, 200}}, {{200, 200}, {100, 100}}};
  InThreads(2, [&](int rank) {
    ShmCommunicator comm(run.Options(rank, slots[rank], 300));
    ExpectError(CommErrorCode::kProtocol, "slots", [&] { comm.Connect(); });
  });
}

void ImpossibleSizesAreErrors() {
  const Run run(1);
  for (const size_t bytes : {size_t{1} << 53, size_t{1} << 62, ~size_t{0}}) {
    ExpectError(CommErrorCode::kProtocol, "rank 0", [&] { Connected(run.Options(0, {{bytes}, {bytes}})); });
  }
}

void UseIsChecked() {
  const Run run(1);
  ShmCommunicator comm(run.Options(0, run.OneSlot(10)));
  ExpectError(CommErrorCode::kProtocol, "not connected", [&] { comm.buffer(0, 0); });
  ExpectError(CommErrorCode::kProtocol, "not connected", [&] { comm.barrier(); });
  comm.Connect();
  ExpectError(CommErrorCode::kProtocol, "no slot 1", [&] { comm.slot_bytes(1, 0); });
  ExpectError(CommErrorCode::kProtocol, "no rank 1", [&] { comm.fetch(0, 1, 0); });
  ExpectError(CommErrorCode::kProtocol, "no rank 7", [&] { comm.broadcast(nullptr, 0, 7); });
  ExpectError(CommErrorCode::kProtocol, "no rank 2", [&] { ShmCommunicator(run.Options(2, {})); });
  ExpectError(CommErrorCode::kProtocol, "generation", [&] { ShmCommunicator(run.Options(0, {}, 1, 0)); });
}

void HeartbeatsAreSeenByOthers() {
  Run run(2);
  Check(!run.control_block().Silence(1), "a rank that never beat has no silence");
  InProcesses(2, [&](int rank) { ControlBlock(run.control_fd(), 2).Beat(rank); });
  std::this_thread::sleep_for(milliseconds(20));
  const auto silence = run.control_block().Silence(1);
  Check(silence && *silence >= milliseconds(20) && *silence < milliseconds(5000),
        "silence is time since the beat");
  Check(!run.control_block().aborted_by(), "nobody aborted");
}

void StatisticsCountBytes() {
  const Run run(2);
  InThreads(2, [&](int rank) {
    const auto comm = Connected(run.Options(rank, {{100, 50}}));
    StepOnce(*comm, 1, 0, 0);
    const auto statistics = comm->statistics();
    Check(statistics.bytes_published == (rank == 0 ? 100 : 50), "published bytes");
    Check(statistics.bytes_fetched == (rank == 0 ? 50 : 100), "fetched bytes are those of the peers");
  });
}

struct Test {
  const char* name;
  void (*run)();
};

#define TEST(name) \
  { #name, name }

constexpr Test kTests[] = {
    TEST(PublishedDataIsFetchedByAllRanks),
    TEST(StaleStepsReadTheTickBefore),
    TEST(RandomDelaysDoNotChangeWhatIsRead),
    TEST(ALeftOutTickLeavesTheOnesBeforeReadable),
    TEST(OverwrittenDataIsAnError),
    TEST(TicksDoNotRepeat),
    TEST(WaitsEndWithTheTimeout),
    TEST(ConnectingWaitsNoLongerThanTheTimeout),
    TEST(AbortWakesWaiters),
    TEST(PublishingWakesASleeper),
    TEST(AnAbortedRunCannotBeJoined),
    TEST(AKilledPeerEndsTheWait),
    TEST(BroadcastCopiesAnySize),
    TEST(BroadcastsOfOtherSizesAreAnError),
    TEST(NobodyPassesABarrierEarly),
    TEST(GenerationsMayHaveOtherSlots),
    TEST(ASegmentIsNotResizedWhileAPeerReadsIt),
    TEST(GenerationsFollowEachOther),
    TEST(AFailedGenerationCanBeFollowedByAnother),
    TEST(AControlBlockIsNoLargerThanNeeded),
    TEST(DescriptorsAreChecked),
    TEST(ForeignMemoryIsLeftAlone),
    TEST(WrongSegmentsAreRefused),
    TEST(RanksThatDisagreeOnSlotsDoNotConnect),
    TEST(ImpossibleSizesAreErrors),
    TEST(UseIsChecked),
    TEST(HeartbeatsAreSeenByOthers),
    TEST(StatisticsCountBytes),
};

bool Passes(const Test& test) {
  const auto start = Clock::now();
  std::string error;
  try {
    test.run();
  } catch (const std::exception& exception) {
    error = exception.what();
  }
  std::printf("%s %s (%lld ms)%s%s\n", error.empty() ? "ok    " : "FAILED", test.name,
              static_cast<long long>(MillisecondsSince(start)), error.empty() ? "" : ": ", error.c_str());
  return error.empty();
}

}  // namespace

// ThreadSanitizer knows data by its address, but every thread rank maps the same data elsewhere. Linked with
// -Wl,--wrap=mmap,--wrap=munmap all mappings of a file in this process become one, in which it sees races.
extern "C" {
void* __real_mmap(void* address, size_t bytes, int protection, int flags, int fd, off_t offset)
    __attribute__((weak));
int __real_munmap(void* address, size_t bytes) __attribute__((weak));
}

namespace {

class SharedMappings {
 public:
  void* Map(int fd) {
    const std::lock_guard<std::mutex> lock(mutex_);
    struct stat status {};
    if (fstat(fd, &status) != 0) return MAP_FAILED;
    Entry& entry = entries_[status.st_ino];
    if (entry.users++ == 0) {
      entry.bytes = static_cast<size_t>(status.st_size);
      entry.address = __real_mmap(nullptr, entry.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    return entry.address;
  }

  int Unmap(void* address) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const auto& entry) { return entry.second.address == address; });
    if (--found->second.users > 0) return 0;
    const size_t bytes = found->second.bytes;
    entries_.erase(found);
    return __real_munmap(address, bytes);
  }

 private:
  struct Entry {
    void* address = nullptr;
    size_t bytes = 0;
    int users = 0;
  };

  std::mutex mutex_;
  std::map<ino_t, Entry> entries_;
};

SharedMappings& Mappings() {
  static SharedMappings mappings;
  return mappings;
}

}  // namespace

extern "C" void* __wrap_mmap(void*, size_t, int, int, int fd, off_t) { return Mappings().Map(fd); }
extern "C" int __wrap_munmap(void* address, size_t) { return Mappings().Unmap(address); }

// Runs the tests whose name contains the argument, or all.
int main(int argc, char** argv) {
  int failures = 0;
  for (const Test& test : kTests) {
    if (argc > 1 && std::strstr(test.name, argv[1]) == nullptr) continue;
    if (!Passes(test)) ++failures;
  }
  return failures == 0 ? 0 : 1;
}
