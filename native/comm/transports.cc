#include <algorithm>

#include "comm/shm/transport.h"
#include "comm/transport.h"

namespace distri {
namespace {

[[noreturn]] void Refuse(const std::string& message) { throw CommError(CommErrorCode::kProtocol, message); }

void CheckSlot(const SlotSpec& slot, int world_size) {
  const auto ranks = static_cast<size_t>(world_size);
  if (slot.bytes.size() != ranks) Refuse("a slot does not have one size per rank");
  if (slot.readers.size() != ranks) Refuse("a slot does not have one list of readers per rank");
  for (const std::vector<int>& readers : slot.readers) {
    const auto is_rank = [&](int reader) { return reader >= 0 && reader < world_size; };
    if (!std::all_of(readers.begin(), readers.end(), is_rank)) Refuse("a slot has readers that are no ranks");
  }
}

}  // namespace

const std::vector<const Transport*>& Transports() {
  static const std::vector<const Transport*> transports = {&shm::kTransport};
  return transports;
}

const Transport& FindTransport(const std::string& name) {
  std::string names;
  for (const Transport* transport : Transports()) {
    if (transport->name == name) return *transport;
    names += (names.empty() ? "" : ", ") + std::string(transport->name);
  }
  Refuse("there is no transport " + name + "; there is " + names);
}

void CheckOptions(const CommunicatorOptions& options) {
  const int world_size = options.run.world_size;
  if (world_size < 1) Refuse("the number of ranks is " + std::to_string(world_size));
  if (options.rank < 0 || options.rank >= world_size) {
    Refuse("there is no rank " + std::to_string(options.rank));
  }
  if (options.channel < 0 || options.channel >= options.run.channels) {
    Refuse("there is no channel " + std::to_string(options.channel));
  }
  for (const SlotSpec& slot : options.slots) CheckSlot(slot, world_size);
  if (options.generation < 1) Refuse("the first generation is 1");
}

}  // namespace distri
