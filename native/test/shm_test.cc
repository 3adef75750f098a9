// What only shared memory can get wrong.
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "comm/shm/control_block.h"
#include "comm/shm/peer_waiter.h"
#include "comm/shm/shared_file.h"
#include "comm/shm/transport.h"
#include "test/comm_tests.h"
#include "test/world.h"

namespace distri::test {
namespace {

// A limit of file sizes (ulimit -f) holds for shared memory, too.
void AControlBlockIsNoLargerThanNeeded() {
  const World run(shm::kTransport, 2, 2);
  struct stat status {};
  Check(fstat(run.run().control_fd, &status) == 0 && status.st_size <= 2048, "2 ranks need less than 2 KiB");
}

void DescriptorsAreChecked() {
  const World run(shm::kTransport, 2);
  const auto refused = [](const std::string& words, const RunOptions& options) {
    ExpectError(CommErrorCode::kProtocol, words, [&] { shm::kTransport.open(options); });
  };
  const int fd = run.run().control_fd;
  refused("made for 2 ranks and 1 channels, not for 3 ranks and 1 channels", {3, 1, fd});
  refused("made for 2 ranks and 1 channels, not for 900 ranks and 1 channels", {900, 1, fd});
  refused("made for 2 ranks and 1 channels, not for 2 ranks and 2 channels", {2, 2, fd});
  refused("the number of ranks is 0", {0, 1, fd});
  refused("the number of channels is 17", {2, 17, fd});
  refused("descriptor", {2, 1, -1});
  std::FILE* file = std::tmpfile();
  std::fputs("precious", file);
  std::fflush(file);
  refused("not shared memory", {2, 1, fileno(file)});
  CommunicatorOptions options = run.Options(0, run.OneSlot(10), 100);
  options.segment_fds[0] = fileno(file);
  ExpectError(CommErrorCode::kProtocol, "not shared memory", [&] { run.Connected(options); });
  struct stat status {};
  Check(fstat(fileno(file), &status) == 0 && status.st_size == 8, "the file is left alone");
  std::fclose(file);
}

void ForeignMemoryIsLeftAlone() {
  const World run(shm::kTransport, 1);
  CommunicatorOptions options = run.Options(0, run.OneSlot(10));
  options.segment_fds[0] = options.run.control_fd;
  ExpectError(CommErrorCode::kProtocol, "something else", [&] { run.Connected(options); });
  run.liveness().beat(0);

  const File other;
  Check(ftruncate(other.fd(), 1 << 20) == 0 && pwrite(other.fd(), "precious", 8, 0) == 8, "write");
  ExpectError(CommErrorCode::kProtocol, "something else", [&] { shm::kTransport.open({2, 1, other.fd()}); });
}

// Rank 1 says that its segment is ready, but rank 0 looks at another file.
void WrongSegmentsAreRefused() {
  for (const off_t bytes : {off_t{0}, off_t{100}, off_t{1} << 21}) {
    const World run(shm::kTransport, 2);
    const File other;
    Check(ftruncate(other.fd(), bytes) == 0, "ftruncate");
    InThreads(2, [&](int rank) {
      CommunicatorOptions options = run.Options(rank, run.OneSlot(10), 300);
      if (rank == 1) {
        run.Connected(options);
        return;
      }
      options.segment_fds[1] = other.fd();
      ExpectError(CommErrorCode::kProtocol, "the segment of rank 1", [&] { run.Connected(options); });
    });
  }
}

void ImpossibleSizesAreErrors() {
  const World run(shm::kTransport, 4);
  for (const uint64_t bytes : {uint64_t{1} << 51, uint64_t{1} << 62, ~uint64_t{0}}) {
    ExpectError(CommErrorCode::kProtocol, "larger than any memory",
                [&] { run.Make(run.Options(0, run.OneSlot(bytes))); });
  }
  ExpectError(CommErrorCode::kProtocol, "what 4 ranks exchange needs 4294967298 MiB",
              [&] { run.Make(run.Options(0, run.OneSlot(uint64_t{1} << 49))); });
}

void MoreThanThereIsIsRefusedBeforeItIsAllocated() {
  const World run(shm::kTransport, 2);
  CommunicatorOptions options = run.Options(0, {{4 << 20, 8 << 20}});
  // Each is kept twice.
  constexpr uint64_t kSlots = 2 * (12 << 20);
  options.headroom = kSlots;
  ExpectError(CommErrorCode::kProtocol, "what 2 ranks exchange needs 25 MiB of memory, 24 MiB are available",
              [&] { run.Make(options); });
  Check(shm::SharedFile(run.segment_fd(0), "test").allocated() == 0, "nothing is allocated");
  constexpr uint64_t kHeaders = 2 << 20;
  options.headroom = kSlots + kHeaders;
  run.Make(options);
}

void WhatAPeerHasAllocatedAlreadyCountsOnce() {
  const World run(shm::kTransport, 2);
  constexpr uint64_t kAll = 2 * (16 << 20) + (2 << 20);
  InThreads(2, [&](int rank) {
    CommunicatorOptions options = run.Options(rank, run.OneSlot(8 << 20));
    options.headroom = kAll;
    if (rank == 1) {
      const shm::SharedFile peer(run.segment_fd(0), "test");
      while (peer.allocated() < 16 << 20) std::this_thread::yield();
      // What is left then.
      options.headroom = kAll - peer.allocated();
    }
    run.Connected(options)->barrier();
  });
}

// Two ranks that wait for each other would be alive for ever.
void LifeAloneIsNotWaitedForWithoutEnd() {
  const World run(shm::kTransport, 2);
  const shm::ControlBlock control(run.run());
  const shm::Channel channel(control, 0);
  shm::PeerWaiter waiter(channel, {std::chrono::milliseconds(100), std::chrono::milliseconds(400)});
  const Heart heart(run, 1);
  const auto start = Clock::now();
  ExpectError(CommErrorCode::kTimeout, "waited 0.4 s for rank 1, which is alive but did not come",
              [&] { waiter.Wait(1, [] { return false; }); });
  Check(MillisecondsSince(start) < 1500, "the limit is kept");
}

void TheLimitForRanksThatAreAliveIsLong() {
  using namespace std::chrono_literals;
  Check(shm::Patience::For(60s).deadlock == 10min, "ten minutes at least");
  Check(shm::Patience::For(5min).deadlock == 50min, "ten times as long as for silence");
}

}  // namespace

std::vector<Test> SharedMemoryTests() {
  return {DISTRI_TEST(AControlBlockIsNoLargerThanNeeded),
          DISTRI_TEST(DescriptorsAreChecked),
          DISTRI_TEST(ForeignMemoryIsLeftAlone),
          DISTRI_TEST(WrongSegmentsAreRefused),
          DISTRI_TEST(ImpossibleSizesAreErrors),
          DISTRI_TEST(MoreThanThereIsIsRefusedBeforeItIsAllocated),
          DISTRI_TEST(WhatAPeerHasAllocatedAlreadyCountsOnce),
          DISTRI_TEST(LifeAloneIsNotWaitedForWithoutEnd),
          DISTRI_TEST(TheLimitForRanksThatAreAliveIsLong)};
}

}  // namespace distri::test
