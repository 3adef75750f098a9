#include "test/world.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

namespace distri::test {
namespace {

// More than any test needs, and less than any machine has.
constexpr uint64_t kHeadroom = uint64_t{256} << 20;

}  // namespace

File::File() : fd_(memfd_create("comm_test", MFD_CLOEXEC)) { Check(fd_ >= 0, "memfd_create"); }
File::~File() { close(fd_); }

std::vector<SlotSpec> ReadByAll(const SlotBytes& slot_bytes) {
  std::vector<SlotSpec> slots;
  for (const std::vector<uint64_t>& bytes : slot_bytes) {
    const int ranks = static_cast<int>(bytes.size());
    SlotSpec slot{bytes, {}};
    for (int rank = 0; rank < ranks; ++rank) {
      slot.readers.emplace_back();
      for (int peer = 0; peer < ranks; ++peer) {
        if (peer != rank) slot.readers.back().push_back(peer);
      }
    }
    slots.push_back(std::move(slot));
  }
  return slots;
}

World::World(const Transport& transport, int world_size, int channels)
    : transport_(transport), run_{world_size, channels, control_.fd()}, liveness_(transport.open(run_)) {
  for (int i = 0; i < world_size * channels; ++i) segments_.push_back(std::make_unique<File>());
}

int World::segment_fd(int rank, int channel) const {
  return segments_[static_cast<size_t>(channel * size() + rank)]->fd();
}

CommunicatorOptions World::Options(int rank, const SlotBytes& slot_bytes, int64_t timeout_ms,
                                   uint64_t generation, int channel) const {
  CommunicatorOptions options;
  options.run = run_;
  options.rank = rank;
  options.channel = channel;
  for (int each = 0; each < size(); ++each) options.segment_fds.push_back(segment_fd(each, channel));
  options.slots = ReadByAll(slot_bytes);
  options.headroom = kHeadroom;
  options.timeout = std::chrono::milliseconds(timeout_ms);
  options.generation = generation;
  return options;
}

std::unique_ptr<Communicator> World::Make(const CommunicatorOptions& options) const {
  return transport_.make(options);
}

std::unique_ptr<Communicator> World::Connected(const CommunicatorOptions& options) const {
  auto communicator = Make(options);
  communicator->connect();
  return communicator;
}

SlotBytes World::OneSlot(uint64_t bytes) const {
  return {std::vector<uint64_t>(static_cast<size_t>(size()), bytes)};
}

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

void InProcesses(int world_size, const RankFunction& function) {
  std::vector<pid_t> pids;
  for (int rank = 0; rank < world_size; ++rank) pids.push_back(Fork([&, rank] { function(rank); }));
  bool all = true;
  for (const pid_t pid : pids) all = StatusOf(pid) == 0 && all;
  Check(all, "a process failed");
}

void ExpectError(CommErrorCode code, const std::string& words, const std::function<void()>& function) {
  const auto error = Expect<CommError>(words, function);
  Check(error.code() == code, "another code than expected with: " + std::string(error.what()));
}

}  // namespace distri::test
