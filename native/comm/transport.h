// A way for ranks to exchange data. Each folder here that has a transport.cc is one; transports.cc lists
// them.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/liveness.h"

namespace distri {

// See RunOptions in src/engine/addon.ts. Descriptors are duplicated.
struct RunOptions {
  int world_size = 1;
  int channels = 1;
  int control_fd = -1;
};

// See CommunicatorOptions in src/engine/addon.ts.
struct CommunicatorOptions {
  RunOptions run;
  int rank = 0;
  int channel = 0;
  std::vector<int> segment_fds;
  std::vector<SlotSpec> slots;
  // Bytes of memory that the ranks of this host can be given now: what the machine has and control groups
  // allow.
  uint64_t headroom = 0;
  // A wait fails when the peer shows no life for so long. One for a peer that is alive may take far longer,
  // but not for ever.
  std::chrono::nanoseconds timeout{};
  uint64_t generation = 1;
};

struct Transport {
  const char* name;
  // What it serves for, for people.
  const char* purpose;
  // Why it can't be used here; nothing if it can.
  std::string (*problem)();
  // Both throw CommError(kProtocol) when the options contradict each other or what they name is something
  // else.
  std::unique_ptr<Liveness> (*open)(const RunOptions&);
  std::unique_ptr<Communicator> (*make)(const CommunicatorOptions&);
};

// All of them.
const std::vector<const Transport*>& Transports();

// Throws CommError(kProtocol) for a name that none has.
const Transport& FindTransport(const std::string& name);

// Throws CommError(kProtocol) unless ranks, slots and readers fit together.
void CheckOptions(const CommunicatorOptions& options);

}  // namespace distri
