// Times of calls, with weights in caches or not.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace distri::bench {

struct Range {
  const std::byte* data = nullptr;
  size_t bytes = 0;
};

struct Contestant {
  std::function<void()> run;
  // Thrown out of all caches before each call that is measured; empty leaves them there.
  std::vector<Range> cold;
  // What calls threads that sleep by then, as they would not between the commands of a step; may be empty.
  std::function<void()> wake;
};

// Seconds of some calls one after the other, after one that is not measured.
std::vector<double> TimeCalls(const Contestant& contestant, int calls);

double Best(const std::vector<double>& seconds);
double Median(std::vector<double> seconds);

// Whether this processor's caches can be emptied.
bool CanEvict();

}  // namespace distri::bench
