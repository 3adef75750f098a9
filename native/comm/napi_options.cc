#include "comm/napi_options.h"

#include <chrono>
#include <string>
#include <vector>

#include "napi/arguments.h"

namespace distri {
namespace {

constexpr int64_t kMaxRanks = 1024;
constexpr int64_t kMaxChannels = 16;
// Three years: ten times as many nanoseconds fit into 64 bits.
constexpr double kMaxTimeoutMilliseconds = 1e11;

std::chrono::nanoseconds ReadTimeout(const Napi::Value& value) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double, std::milli>(ReadNumber(value, "timeout", 0, kMaxTimeoutMilliseconds)));
}

SlotSpec ReadSlot(const Napi::Value& value, const std::string& name, int ranks) {
  const Napi::Object slot = ReadObject(value, name);
  const auto read_bytes = [](const Napi::Value& bytes, const std::string& element) {
    return static_cast<uint64_t>(ReadInteger(bytes, element, 0, kMaxSafeInteger));
  };
  const auto read_rank = [&](const Napi::Value& rank, const std::string& element) {
    return ReadInt(rank, element, 0, ranks - 1);
  };
  const auto read_ranks = [&](const Napi::Value& readers, const std::string& element) {
    return ReadArray(readers, element, kAnyLength, read_rank);
  };
  return {ReadArray(slot.Get("bytes"), name + ".bytes", ranks, read_bytes),
          ReadArray(slot.Get("readers"), name + ".readers", ranks, read_ranks)};
}

}  // namespace

const Transport& ReadTransport(const Napi::Object& options) {
  std::vector<std::string> names;
  for (const Transport* transport : Transports()) names.push_back(transport->name);
  return *Transports()[ReadChoice(options.Get("transport"), "transport", names)];
}

RunOptions ReadRunOptions(const Napi::Object& options) {
  RunOptions run;
  run.world_size = ReadInt(options.Get("worldSize"), "worldSize", 1, kMaxRanks);
  run.channels = ReadInt(options.Get("channels"), "channels", 1, kMaxChannels);
  run.control_fd = ReadDescriptor(options.Get("controlFd"), "controlFd");
  return run;
}

CommunicatorOptions ReadCommunicatorOptions(const Napi::Object& options) {
  CommunicatorOptions read;
  read.run = ReadRunOptions(options);
  const int ranks = read.run.world_size;
  read.rank = ReadInt(options.Get("rank"), "rank", 0, ranks - 1);
  read.channel = ReadInt(options.Get("channel"), "channel", 0, read.run.channels - 1);
  read.segment_fds = ReadArray(options.Get("segmentFds"), "segmentFds", ranks, ReadDescriptor);
  read.slots = ReadArray(
      options.Get("slots"), "slots", kAnyLength,
      [&](const Napi::Value& slot, const std::string& name) { return ReadSlot(slot, name, ranks); });
  read.headroom = static_cast<uint64_t>(ReadInteger(options.Get("headroom"), "headroom", 0, kMaxSafeInteger));
  read.timeout = ReadTimeout(options.Get("timeout"));
  read.generation =
      static_cast<uint64_t>(ReadInteger(options.Get("generation"), "generation", 1, kMaxSafeInteger));
  return read;
}

}  // namespace distri
