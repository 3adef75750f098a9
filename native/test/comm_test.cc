// Tests of transports, with ranks that are threads and ranks that are processes: every transport has to pass
// them.
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "test/comm_tests.h"
#include "test/world.h"

namespace distri::test {
namespace {

using std::chrono::milliseconds;

constexpr int kWorldSizes[] = {1, 2, 3, 4, 5, 8};

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

void Publish(Communicator& comm, int slot, int64_t tick) {
  const auto data = Pattern(comm.rank(), slot, tick, comm.slot_bytes(slot, comm.rank()));
  std::copy(data.begin(), data.end(), static_cast<uint8_t*>(comm.buffer(slot, tick)));
  comm.publish(slot, tick);
}

void CheckFetched(Communicator& comm, int slot, int peer, int64_t tick) {
  const Reading reading = comm.fetch(slot, peer, tick);
  CheckSame(reading.as<uint8_t>(), Pattern(peer, slot, tick, comm.slot_bytes(slot, peer)),
            "data of rank " + std::to_string(peer) + " at tick " + std::to_string(tick));
}

// Slots of other sizes for every rank: none, odd, one cache line, more than a page.
SlotBytes UnevenSlots(int world_size) {
  SlotBytes slots;
  for (const size_t base : {size_t{0}, size_t{1}, size_t{64}, size_t{5000}}) {
    std::vector<uint64_t> bytes;
    for (int rank = 0; rank < world_size; ++rank) bytes.push_back(base * static_cast<size_t>(rank + 1));
    slots.push_back(bytes);
  }
  return slots;
}

// A step as the strategies make it: publish everything, read the peers' data of `read_tick`, gather the
// output.
void StepOnce(
    Communicator& comm, int slots, int64_t tick, int64_t read_tick,
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

void PublishedDataIsFetchedByAllRanks(const Transport& transport) {
  for (const Runner runner : kRunners) {
    for (const int world_size : kWorldSizes) {
      const World run(transport, world_size);
      runner(world_size, [&](int rank) {
        const auto comm = run.Connected(run.Options(rank, UnevenSlots(world_size)));
        for (int64_t tick = 0; tick < 6; ++tick) StepOnce(*comm, 4, tick, tick);
      });
    }
  }
}

void StaleStepsReadTheTickBefore(const Transport& transport) {
  for (const Runner runner : kRunners) {
    for (const int world_size : {2, 3, 5}) {
      const World run(transport, world_size);
      runner(world_size, [&](int rank) {
        const auto comm = run.Connected(run.Options(rank, UnevenSlots(world_size)));
        StepOnce(*comm, 4, 0, 0);
        for (int64_t tick = 1; tick < 20; ++tick) StepOnce(*comm, 4, tick, tick - 1);
      });
    }
  }
}

void RandomDelaysDoNotChangeWhatIsRead(const Transport& transport) {
  const int world_size = 4;
  const World run(transport, world_size);
  InThreads(world_size, [&](int rank) {
    std::minstd_rand random(static_cast<unsigned>(rank + 1));
    const auto pause = [&] { std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000)); };
    const auto comm = run.Connected(run.Options(rank, UnevenSlots(world_size)));
    StepOnce(*comm, 4, 0, 0, pause);
    for (int64_t tick = 1; tick < 40; ++tick) StepOnce(*comm, 4, tick, tick - 1, pause);
  });
}

void ALeftOutTickLeavesTheOnesBeforeReadable(const Transport& transport) {
  const World run(transport, 2);
  InThreads(2, [&](int rank) {
    const auto comm = run.Connected(run.Options(rank, run.OneSlot(100)));
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

void OverwrittenDataIsAnError(const Transport& transport) {
  const World run(transport, 2);
  InThreads(2, [&](int rank) {
    const auto comm = run.Connected(run.Options(rank, run.OneSlot(10)));
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

void TicksDoNotRepeat(const Transport& transport) {
  const World run(transport, 1);
  const auto comm = run.Connected(run.Options(0, run.OneSlot(10)));
  for (const int64_t tick : {0, 1, 2}) Publish(*comm, 0, tick);
  ExpectError(CommErrorCode::kProtocol, "tick 2", [&] { comm->publish(0, 2); });
  ExpectError(CommErrorCode::kProtocol, "tick 0", [&] { comm->buffer(0, 0); });
  ExpectError(CommErrorCode::kProtocol, "tick -1", [&] { comm->buffer(0, -1); });
}

void WaitsEndWithTheTimeout(const Transport& transport) {
  const World run(transport, 3);
  InThreads(3, [&](int rank) {
    const auto comm = run.Connected(run.Options(rank, run.OneSlot(10), 200));
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

void ConnectingWaitsNoLongerThanTheTimeout(const Transport& transport) {
  const World run(transport, 2);
  const auto comm = run.Make(run.Options(0, {}, 200));
  ExpectError(CommErrorCode::kTimeout, "waited 0.2 s for rank 1", [&] { comm->connect(); });
}

void APeerThatShowsLifeIsWaitedFor(const Transport& transport) {
  const World run(transport, 2);
  InThreads(2, [&](int rank) {
    const auto late = [&] {
      if (rank == 0) return;
      const Heart heart(run, rank);
      std::this_thread::sleep_for(milliseconds(700));
    };
    late();
    const auto comm = run.Connected(run.Options(rank, run.OneSlot(10), 200));
    late();
    Publish(*comm, 0, 0);
    CheckFetched(*comm, 0, 1 - rank, 0);
    late();
    comm->barrier();
    late();
    uint8_t byte = 0;
    comm->broadcast(&byte, 1, 1);
  });
}

void APeerThatFallsSilentIsGivenUp(const Transport& transport) {
  const World run(transport, 2);
  InThreads(2, [&](int rank) {
    const auto comm = run.Connected(run.Options(rank, run.OneSlot(10), 200));
    if (rank == 1) {
      const Heart heart(run, rank);
      std::this_thread::sleep_for(milliseconds(500));
      return;
    }
    const auto start = Clock::now();
    ExpectError(CommErrorCode::kTimeout, "for rank 1", [&] { comm->fetch(0, 1, 0); });
    const int64_t waited = MillisecondsSince(start);
    Check(waited >= 600 && waited < 2000,
          "the timeout begins with the silence, not " + std::to_string(waited) + " ms");
  });
}

// `wait` blocks until the run is aborted by rank 1.
void ExpectPromptAbort(const World& run, const std::function<void()>& wait) {
  std::atomic<Clock::duration> aborted_at{Clock::duration::zero()};
  std::thread aborter([&] {
    std::this_thread::sleep_for(milliseconds(150));
    aborted_at = Clock::now().time_since_epoch();
    run.liveness().abort(1);
    run.liveness().abort(0);
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

void AbortWakesWaiters(const Transport& transport) {
  for (int operation = 0; operation < 3; ++operation) {
    const World run(transport, 2);
    InThreads(2, [&](int rank) {
      const auto comm = run.Connected(run.Options(rank, run.OneSlot(10)));
      if (rank != 0) return;
      uint8_t byte = 0;
      ExpectPromptAbort(run, [&] {
        if (operation == 0) comm->fetch(0, 1, 0);
        if (operation == 1) comm->barrier();
        if (operation == 2) comm->broadcast(&byte, 1, 1);
      });
    });
    Check(run.liveness().aborted_by() == 1, "the first to abort is kept");
  }
  const World run(transport, 2);
  const auto comm = run.Make(run.Options(0, {}));
  ExpectPromptAbort(run, [&] { comm->connect(); });
}

void PublishingWakesASleeper(const Transport& transport) {
  const World run(transport, 2);
  std::atomic<int64_t> fetching{-1};
  std::atomic<Clock::duration> published{};
  auto shortest = Clock::duration::max();
  InThreads(2, [&](int rank) {
    const auto comm = run.Connected(run.Options(rank, run.OneSlot(10)));
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

void AnAbortedRunCannotBeJoined(const Transport& transport) {
  const World run(transport, 1);
  run.liveness().abort(-1);
  ExpectError(CommErrorCode::kAborted, "the run was stopped", [&] { run.Connected(run.Options(0, {})); });
}

void AKilledPeerEndsTheWait(const Transport& transport) {
  const World run(transport, 2);
  const pid_t peer = Fork([&] {
    const auto comm = run.Connected(run.Options(1, run.OneSlot(10)));
    comm->fetch(0, 0, 5);
  });
  const auto comm = run.Connected(run.Options(0, run.OneSlot(10)));
  // What the launcher does about it.
  std::thread watcher([&] {
    std::this_thread::sleep_for(milliseconds(100));
    kill(peer, SIGKILL);
    StatusOf(peer);
    run.liveness().abort(1);
  });
  const auto start = Clock::now();
  ExpectError(CommErrorCode::kAborted, "rank 1 stopped the run", [&] { comm->fetch(0, 1, 0); });
  watcher.join();
  Check(MillisecondsSince(start) < 500, "the end of a peer is noticed soon");
}

void CheckBroadcasts(Communicator& comm, const std::vector<size_t>& sizes) {
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

void BroadcastCopiesAnySize(const Transport& transport) {
  for (const Runner runner : kRunners) {
    for (const int world_size : {1, 2, 3, 5}) {
      const World run(transport, world_size);
      runner(world_size, [&](int rank) {
        CheckBroadcasts(*run.Connected(run.Options(rank, {})), {0, 1, 17, 4096, 300'001, 1'200'000});
      });
    }
  }
}

void BroadcastsOfOtherSizesAreAnError(const Transport& transport) {
  const World run(transport, 2);
  InThreads(2, [&](int rank) {
    const auto comm = run.Connected(run.Options(rank, {}));
    uint8_t data[20] = {};
    if (rank == 0) comm->broadcast(data, 20, 0);
    if (rank == 1) {
      ExpectError(CommErrorCode::kProtocol, "rank 0", [&] { comm->broadcast(data, 10, 0); });
    }
    comm->barrier();
  });
}

void NobodyPassesABarrierEarly(const Transport& transport) {
  for (const int world_size : kWorldSizes) {
    const World run(transport, world_size);
    std::atomic<int> arrived{0};
    InThreads(world_size, [&](int rank) {
      const auto comm = run.Connected(run.Options(rank, {}));
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
void GenerationsMayHaveOtherSlots(const Transport& transport) {
  const std::vector<size_t> sizes = {100'000, 1'000'000, 10, 300'000};
  for (const Runner runner : kRunners) {
    for (const int world_size : {1, 2, 4}) {
      const World run(transport, world_size);
      runner(world_size, [&](int rank) {
        std::minstd_rand random(static_cast<unsigned>(rank + 1));
        uint64_t generation = 0;
        for (const size_t bytes : sizes) {
          const auto comm = run.Connected(run.Options(rank, run.OneSlot(bytes), kPatienceMs, ++generation));
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

void AGenerationWaitsForTheReadersOfTheOneBefore(const Transport& transport) {
  const World run(transport, 2);
  std::atomic<bool> reading{true};
  InThreads(2, [&](int rank) {
    auto comm = run.Connected(run.Options(rank, run.OneSlot(1'000'000)));
    if (rank == 0) Publish(*comm, 0, 0);
    if (rank == 1) {
      std::this_thread::sleep_for(milliseconds(200));
      CheckFetched(*comm, 0, 0, 0);
      reading = false;
    }
    comm.reset();
    comm = run.Connected(run.Options(rank, run.OneSlot(1), kPatienceMs, 2));
    Check(!reading, "the next generation waits for the readers of the one before");
  });
}

void GenerationsFollowEachOther(const Transport& transport) {
  const World run(transport, 1);
  const auto connect = [&](uint64_t generation) {
    return run.Connected(run.Options(0, run.OneSlot(10), kPatienceMs, generation));
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

void AFailedGenerationCanBeFollowedByAnother(const Transport& transport) {
  const World run(transport, 2);
  ExpectError(CommErrorCode::kTimeout, "rank 1", [&] { run.Connected(run.Options(0, {}, 50)); });
  run.Connected(run.Options(1, {}));
  InThreads(2, [&](int rank) {
    const auto comm = run.Connected(run.Options(rank, run.OneSlot(10), kPatienceMs, 2));
    StepOnce(*comm, 1, 0, 0);
  });
}

void RanksThatDisagreeOnSlotsDoNotconnect(const Transport& transport) {
  const World run(transport, 2);
  // As many bytes in total.
  const SlotBytes slots[] = {{{100, 100}, {200, 200}}, {{200, 200}, {100, 100}}};
  InThreads(2, [&](int rank) {
    ExpectError(CommErrorCode::kProtocol, "slots",
                [&] { run.Connected(run.Options(rank, slots[rank], 300)); });
  });
}

void UseIsChecked(const Transport& transport) {
  const World run(transport, 1);
  const auto comm = run.Make(run.Options(0, run.OneSlot(10)));
  const auto refused = [](const std::string& words, const std::function<void()>& call) {
    ExpectError(CommErrorCode::kProtocol, words, call);
  };
  refused("not connected", [&] { comm->buffer(0, 0); });
  refused("not connected", [&] { comm->barrier(); });
  comm->connect();
  refused("no slot 1", [&] { comm->slot_bytes(1, 0); });
  refused("no rank 1", [&] { comm->fetch(0, 1, 0); });
  refused("no rank 7", [&] { comm->broadcast(nullptr, 0, 7); });
  refused("no rank 2", [&] { run.Make(run.Options(2, {})); });
  CommunicatorOptions elsewhere = run.Options(0, {});
  elsewhere.channel = 1;
  refused("no channel 1", [&] { run.Make(elsewhere); });
  refused("generation", [&] { run.Make(run.Options(0, {}, 1, 0)); });
}

// Every rank publishes ten bytes, of which parts are read.
void APartIsFetchedFromWhereItLies(const Transport& transport) {
  const World run(transport, 2);
  InThreads(2, [&](int rank) {
    const auto comm = run.Connected(run.Options(rank, run.OneSlot(10)));
    Publish(*comm, 0, 0);
    const int peer = 1 - rank;
    const std::vector<uint8_t> whole = Pattern(peer, 0, 0, 10);
    for (const size_t offset : {size_t{0}, size_t{3}, size_t{10}}) {
      const size_t bytes = std::min<size_t>(4, 10 - offset);
      const auto first = whole.begin() + static_cast<std::ptrdiff_t>(offset);
      const Reading reading = comm->fetch(0, peer, 0, offset, bytes);
      CheckSame(reading.as<uint8_t>(), {first, first + static_cast<std::ptrdiff_t>(bytes)}, "part");
    }
    Check(comm->statistics().bytes_fetched == 8, "only what is looked at counts as fetched");
    ExpectError(CommErrorCode::kProtocol, "has 10 bytes, not 5 from 6 on",
                [&] { comm->fetch(0, peer, 0, 6, 5); });
    ExpectError(CommErrorCode::kProtocol, "has 10 bytes", [&] { comm->fetch(0, peer, 0, 11, 0); });
    ExpectError(CommErrorCode::kProtocol, "has 10 bytes", [&] { comm->fetch(0, peer, 0, 1, ~size_t{0}); });
    comm->barrier();
  });
}

// Who reads what the options do not say is found by builds that check it.
void OnlyReadersRead(const Transport& transport) {
  const World run(transport, 3);
  InThreads(3, [&](int rank) {
    CommunicatorOptions options = run.Options(rank, run.OneSlot(10));
    options.slots[0].readers = {{1}, {2}, {0}};
    const auto comm = run.Connected(options);
    Publish(*comm, 0, 0);
    CheckFetched(*comm, 0, rank, 0);
    CheckFetched(*comm, 0, (rank + 2) % 3, 0);
#ifdef DISTRI_CHECK_READS
    ExpectError(CommErrorCode::kProtocol, "is no reader of slot 0",
                [&] { comm->fetch(0, (rank + 1) % 3, 0); });
#endif
    comm->barrier();
  });
}

void RanksThatDisagreeOnReadersDoNotConnect(const Transport& transport) {
  const World run(transport, 2);
  InThreads(2, [&](int rank) {
    CommunicatorOptions options = run.Options(rank, run.OneSlot(10), 300);
    if (rank == 1) options.slots[0].readers[0].clear();
    ExpectError(CommErrorCode::kProtocol, "slots", [&] { run.Connected(options); });
  });
}

#ifdef DISTRI_CHECK_READS
void AReadingThatLastsTooLongEndsTheProcess(const Transport& transport) {
  const World run(transport, 1);
  for (const int64_t last : {1, 2}) {
    const pid_t reader = Fork([&] {
      const World own(transport, 1);
      const auto comm = own.Connected(own.Options(0, own.OneSlot(10)));
      Publish(*comm, 0, 0);
      const Reading reading = comm->fetch(0, 0, 0);
      for (int64_t tick = 1; tick <= last; ++tick) Publish(*comm, 0, tick);
    });
    const int status = StatusOf(reader);
    Check(last == 1 ? status == 0 : WIFSIGNALED(status), "a reading lasts until two ticks later");
  }
}
#endif

// Steps in one channel while those of another are somewhere else, and end.
void ChannelsAreIndependent(const Transport& transport) {
  for (const Runner runner : kRunners) {
    const World run(transport, 3, 2);
    runner(3, [&](int rank) {
      const auto staying = run.Connected(run.Options(rank, UnevenSlots(3)));
      int64_t tick = 0;
      for (uint64_t generation = 1; generation <= 3; ++generation) {
        StepOnce(*staying, 4, tick, tick);
        ++tick;
        const SlotBytes slots = run.OneSlot(generation == 2 ? 1'000'000 : 100);
        const auto changing = run.Connected(run.Options(rank, slots, kPatienceMs, generation, 1));
        for (int64_t other = 0; other < 3; ++other) StepOnce(*changing, 1, other, other);
        StepOnce(*staying, 4, tick, tick);
        ++tick;
        changing->barrier();
      }
    });
  }
}

void AnAbortEndsTheWaitsOfAllChannels(const Transport& transport) {
  const World run(transport, 2, 2);
  std::thread aborter([&] {
    std::this_thread::sleep_for(milliseconds(100));
    run.liveness().abort(Liveness::kParent);
  });
  const auto wait = [&](int channel) {
    const auto comm = run.Make(run.Options(0, {}, kPatienceMs, 1, channel));
    const auto start = Clock::now();
    ExpectError(CommErrorCode::kAborted, "the run was stopped", [&] { comm->connect(); });
    Check(MillisecondsSince(start) < 1000, "an abort is heard in every channel");
  };
  constexpr int kChannels = 2;
  InThreads(kChannels, wait);
  aborter.join();
}

void HeartbeatsAreSeenByOthers(const Transport& transport) {
  const World run(transport, 2);
  Check(!run.liveness().silence(1), "a rank that never beat has no silence");
  InProcesses(2, [&](int rank) { run.Open()->beat(rank); });
  std::this_thread::sleep_for(milliseconds(20));
  const auto silence = run.liveness().silence(1);
  Check(silence && *silence >= milliseconds(20) && *silence < milliseconds(5000),
        "silence is time since the beat");
  Check(!run.liveness().aborted_by(), "nobody aborted");
}

void StatisticsCountBytes(const Transport& transport) {
  const World run(transport, 2);
  InThreads(2, [&](int rank) {
    const auto comm = run.Connected(run.Options(rank, {{100, 50}}));
    StepOnce(*comm, 1, 0, 0);
    const auto statistics = comm->statistics();
    Check(statistics.bytes_published == (rank == 0 ? 100 : 50), "published bytes");
    Check(statistics.bytes_fetched == (rank == 0 ? 50 : 100), "fetched bytes are those of the peers");
  });
}

}  // namespace

std::vector<Test> TransportTests(const Transport& transport) {
#define DISTRI_TRANSPORT_TEST(test)                                    \
  Test {                                                               \
    std::string(transport.name) + ": " #test, [&] { test(transport); } \
  }
  return {
      DISTRI_TRANSPORT_TEST(PublishedDataIsFetchedByAllRanks),
      DISTRI_TRANSPORT_TEST(StaleStepsReadTheTickBefore),
      DISTRI_TRANSPORT_TEST(RandomDelaysDoNotChangeWhatIsRead),
      DISTRI_TRANSPORT_TEST(ALeftOutTickLeavesTheOnesBeforeReadable),
      DISTRI_TRANSPORT_TEST(OverwrittenDataIsAnError),
      DISTRI_TRANSPORT_TEST(TicksDoNotRepeat),
      DISTRI_TRANSPORT_TEST(WaitsEndWithTheTimeout),
      DISTRI_TRANSPORT_TEST(ConnectingWaitsNoLongerThanTheTimeout),
      DISTRI_TRANSPORT_TEST(APeerThatShowsLifeIsWaitedFor),
      DISTRI_TRANSPORT_TEST(APeerThatFallsSilentIsGivenUp),
      DISTRI_TRANSPORT_TEST(AbortWakesWaiters),
      DISTRI_TRANSPORT_TEST(PublishingWakesASleeper),
      DISTRI_TRANSPORT_TEST(AnAbortedRunCannotBeJoined),
      DISTRI_TRANSPORT_TEST(AKilledPeerEndsTheWait),
      DISTRI_TRANSPORT_TEST(BroadcastCopiesAnySize),
      DISTRI_TRANSPORT_TEST(BroadcastsOfOtherSizesAreAnError),
      DISTRI_TRANSPORT_TEST(NobodyPassesABarrierEarly),
      DISTRI_TRANSPORT_TEST(GenerationsMayHaveOtherSlots),
      DISTRI_TRANSPORT_TEST(AGenerationWaitsForTheReadersOfTheOneBefore),
      DISTRI_TRANSPORT_TEST(GenerationsFollowEachOther),
      DISTRI_TRANSPORT_TEST(AFailedGenerationCanBeFollowedByAnother),
      DISTRI_TRANSPORT_TEST(RanksThatDisagreeOnSlotsDoNotconnect),
      DISTRI_TRANSPORT_TEST(UseIsChecked),
      DISTRI_TRANSPORT_TEST(APartIsFetchedFromWhereItLies),
      DISTRI_TRANSPORT_TEST(OnlyReadersRead),
      DISTRI_TRANSPORT_TEST(RanksThatDisagreeOnReadersDoNotConnect),
#ifdef DISTRI_CHECK_READS
      DISTRI_TRANSPORT_TEST(AReadingThatLastsTooLongEndsTheProcess),
#endif
      DISTRI_TRANSPORT_TEST(ChannelsAreIndependent),
      DISTRI_TRANSPORT_TEST(AnAbortEndsTheWaitsOfAllChannels),
      DISTRI_TRANSPORT_TEST(HeartbeatsAreSeenByOthers),
      DISTRI_TRANSPORT_TEST(StatisticsCountBytes),
  };
#undef DISTRI_TRANSPORT_TEST
}

}  // namespace distri::test
