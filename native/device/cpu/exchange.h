// Commands by which ranks exchange: parts of slots of the communicator.
#pragma once

#include <memory>

#include "device/program.h"

namespace distri::device::cpu {

// Of which step readers want what is exchanged, as in src/parallel/slots.ts: of the same; of `Step::read_tick`; or
// of the same, and nothing at all in steps that are not synchronous.
enum class Age { kFresh = 0, kDisplaced = 1, kWarmUp = 2 };

// x into this rank's slot, from a byte on; attributes slot, offset and age.
std::unique_ptr<Executor> CreateLeave(Command command);
// Lets others read the slot; attributes slot and age.
std::unique_ptr<Executor> CreatePublish(Command command);
// y from a peer's slot, from a byte on; attributes slot, peer, offset and age.
std::unique_ptr<Executor> CreateFetch(Command command);

}  // namespace distri::device::cpu
