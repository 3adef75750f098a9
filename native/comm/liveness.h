// Who of a run is alive, and whether it was given up. The parent has one too, without being a rank.
#pragma once

#include <chrono>
#include <optional>

namespace distri {

// Safe to use from all threads.
class Liveness {
 public:
  // Stands for the parent in abort().
  static constexpr int kParent = -1;

  virtual ~Liveness() = default;

  virtual int world_size() const = 0;

  // Makes every wait of every rank fail, now and from now on. The first caller stays.
  virtual void abort(int rank) = 0;
  virtual std::optional<int> aborted_by() const = 0;

  virtual void beat(int rank) = 0;
  // Time since the last beat; nothing before the first.
  virtual std::optional<std::chrono::nanoseconds> silence(int rank) const = 0;
};

}  // namespace distri
