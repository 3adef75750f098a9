// Words shared by the parent and all ranks of a run, in a shared memory file that the parent makes.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "comm/shm/mapping.h"
#include "comm/shm/waiting.h"

namespace distri::shm {

// What one rank tells the others. Only the rank itself writes it.
struct alignas(64) RankState {
  std::atomic<uint64_t> heartbeat_ns;
  // Size of the rank's segment in the generation below, written before it.
  std::atomic<uint64_t> segment_bytes;
  // The newest generation whose segment is ready, and the newest whose communicator is closed.
  Word joined;
  Word left;
  // How often the rank has come to a barrier, and how many broadcast chunks it has taken.
  Word barriers;
  Word chunks;
};

class ControlBlock {
 public:
  // Maps the file; the first to do so gives it its size. Throws CommError(kProtocol) when it was made for another
  // world size or is something else.
  ControlBlock(int fd, int world_size);

  int world_size() const { return world_size_; }
  RankState& rank(int rank) const;

  // The first caller stays: its rank, or -1 for the parent, is what the others are told.
  void Abort(int rank);
  std::optional<int> aborted_by() const;
  // Throws CommError(kAborted) once somebody aborted.
  void CheckAbort() const;

  void Beat(int rank);
  // Milliseconds since the last beat.
  std::optional<double> Silence(int rank) const;

 private:
  struct Header;

  Header& header() const;

  int world_size_;
  Mapping mapping_;
};

}  // namespace distri::shm
