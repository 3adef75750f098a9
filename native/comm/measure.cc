#include "comm/measure.h"

#include <chrono>
#include <cstddef>
#include <cstring>
#include <vector>

namespace distri {
namespace {

// Calls `pattern(tick)` again and again.
template <class Pattern>
std::vector<double> Time(int iterations, const Pattern& pattern) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  times.reserve(static_cast<size_t>(iterations));
  for (int64_t tick = 0; tick < iterations; ++tick) {
    const Clock::time_point start = Clock::now();
    pattern(tick);
    times.push_back(std::chrono::duration<double, std::nano>(Clock::now() - start).count());
  }
  return times;
}

// One rank's end of exchanges in one slot.
class Part {
 public:
  Part(Communicator& communicator, int slot)
      : communicator_(communicator), slot_(slot), own_(Bytes(communicator.rank())) {
    size_t total = 0;
    for (int rank = 0; rank < communicator.size(); ++rank) total += Bytes(rank);
    all_.resize(total);
  }

  void Publish(int64_t tick) {
    std::memcpy(communicator_.buffer(slot_, tick), own_.data(), own_.size());
    communicator_.publish(slot_, tick);
  }

  void Fetch(int peer, int64_t tick, size_t offset = 0) {
    const Reading reading = communicator_.fetch(slot_, peer, tick);
    std::memcpy(all_.data() + offset, reading.as<std::byte>(), Bytes(peer));
  }

  void FetchAll(int64_t tick) {
    size_t offset = 0;
    for (int rank = 0; rank < communicator_.size(); ++rank) {
      Fetch(rank, tick, offset);
      offset += Bytes(rank);
    }
  }

 private:
  size_t Bytes(int rank) const { return communicator_.slot_bytes(slot_, rank); }

  Communicator& communicator_;
  int slot_;
  std::vector<std::byte> own_;
  std::vector<std::byte> all_;
};

}  // namespace

std::vector<double> MeasureBarriers(Communicator& communicator, int iterations) {
  return Time(iterations, [&](int64_t) { communicator.barrier(); });
}

std::vector<double> MeasureRoundTrips(Communicator& communicator, int slot, int iterations) {
  constexpr int kAsking = 0;
  constexpr int kAnswering = 1;
  Part part(communicator, slot);
  if (communicator.rank() == kAsking) {
    return Time(iterations, [&](int64_t tick) {
      part.Publish(tick);
      part.Fetch(kAnswering, tick);
    });
  }
  if (communicator.rank() == kAnswering) {
    return Time(iterations, [&](int64_t tick) {
      part.Fetch(kAsking, tick);
      part.Publish(tick);
    });
  }
  return {};
}

std::vector<double> MeasureAllGathers(Communicator& communicator, int slot, int iterations) {
  Part part(communicator, slot);
  return Time(iterations, [&](int64_t tick) {
    part.Publish(tick);
    part.FetchAll(tick);
  });
}

}  // namespace distri
