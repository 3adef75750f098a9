// How long layers take that it reads from its input, beside oneDNN's products where its library is:
// `distri_product_bench THREADS ROUNDS cold|warm`, which bench/kernels/main.ts starts and feeds. A line for
// each layer: seconds at best and in the median, oneDNN's, and what of oneDNN's it was.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>

#include "bench/layers.h"
#include "bench/onednn.h"
#include "bench/timing.h"

namespace distri::bench {
namespace {

constexpr int kCalls = 3;

struct Settings {
  int threads;
  int rounds;
  bool cold;
};

void Append(std::vector<double>& all, const std::vector<double>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

void Compare(device::Program& program, size_t index, const Layer& layer, const Settings& settings) {
  const auto wake = [&] { program.Run(program.lists() - 1, {}, false, {}); };
  const auto weights = [&](const std::vector<Range>& ranges) {
    return settings.cold ? ranges : std::vector<Range>{};
  };
  const Contestant own{[&] { program.Run(index, {}, false, {}); }, weights(layer.weights), wake};
  const std::unique_ptr<OneDnn> other = OneDnn::Make(layer.shape, layer.type, settings.threads);
  std::vector<double> seconds;
  std::vector<double> others;
  for (int round = 0; round < settings.rounds; ++round) {
    Append(seconds, TimeCalls(own, kCalls));
    if (other) Append(others, TimeCalls({[&] { other->Run(); }, weights(other->weights()), {}}, kCalls));
  }
  std::printf("%.9g\t%.9g", Best(seconds), Median(seconds));
  if (other) std::printf("\t%.9g\t%.9g\t%s", Best(others), Median(others), other->name().c_str());
  std::printf("\n");
  std::fflush(stdout);
}

void RunBench(const Settings& settings) {
  Layers layers = ReadLayers(std::cin);
  layers.program.threads = settings.threads;
  device::Program program(layers.program);
  for (size_t index = 0; index < layers.layers.size(); ++index)
    Compare(program, index, layers.layers[index], settings);
}

}  // namespace
}  // namespace distri::bench

int main(int argc, char** argv) {
  using namespace distri::bench;
  const bool cold = argc == 4 && std::strcmp(argv[3], "cold") == 0;
  const Settings settings{argc == 4 ? std::atoi(argv[1]) : 0, argc == 4 ? std::atoi(argv[2]) : 0, cold};
  if (settings.threads < 1 || settings.rounds < 1) {
    std::fprintf(stderr, "expected a number of threads, a number of rounds, and cold or warm\n");
    return 1;
  }
  if (cold && !CanEvict()) {
    std::fprintf(stderr, "caches of this processor can't be emptied: measure warm weights\n");
    return 1;
  }
  try {
    RunBench(settings);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
