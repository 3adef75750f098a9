// Layers of a network as its commands compute them, which bench/kernels/main.ts writes.
#pragma once

#include <istream>
#include <string>
#include <vector>

#include "bench/onednn.h"
#include "bench/timing.h"
#include "device/memory.h"
#include "device/program.h"

namespace distri::bench {

struct Layer {
  ProductShape shape;
  device::Type type = device::Type::kFloat32;
  // Packed weights of its commands.
  std::vector<Range> weights;
};

// With random weights, each list of the program being that of a layer; the one behind them does nothing, in
// tasks for all threads.
struct Layers {
  device::ProgramSpec program;
  std::vector<Layer> layers;
  std::vector<device::Memory> memory;
};

// Throws std::invalid_argument.
Layers ReadLayers(std::istream& input);

}  // namespace distri::bench
