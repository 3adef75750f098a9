// The communicator of ranks on one host: slots in shared memory files that every rank maps.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/shm/control_block.h"
#include "comm/shm/segment.h"
#include "comm/shm/waiting.h"

namespace distri::shm {

struct ShmOptions {
  int rank = 0;
  int world_size = 1;
  int control_fd = -1;
  // One shared memory file per rank.
  std::vector<int> segment_fds;
  // [slot][rank]
  std::vector<std::vector<size_t>> slot_bytes;
  int64_t timeout_ms = 60'000;
  // 1 for the first communicator over these descriptors, then 2, …
  uint32_t generation = 1;
};

// Descriptors stay the caller's; they may be closed after Connect.
//
// Why a segment may be resized between generations: a rank resizes its own only after every peer has left the
// generation before (Close unmaps, then says so), and maps a peer's only after that peer has joined this one. So
// nobody has a mapping of a segment while it changes. A rank's last broadcast is read before its readers leave.
class ShmCommunicator : public Communicator {
 public:
  // Throws CommError(kProtocol) when the options contradict each other or the control block.
  explicit ShmCommunicator(ShmOptions options);
  ~ShmCommunicator() override;

  // Meets the peers. Throws CommError.
  void Connect();
  // Unmaps; nothing may be in use. Idempotent.
  void Close();

  int rank() const override { return options_.rank; }
  int size() const override { return options_.world_size; }
  size_t slot_bytes(int slot, int rank) const override;

  void* buffer(int slot, int64_t tick) override;
  void publish(int slot, int64_t tick) override;
  const void* fetch(int slot, int peer, int64_t tick) override;

  void barrier() override;
  void broadcast(void* data, size_t bytes, int root) override;

  CommStatistics statistics() const override;

 private:
  enum class State { kNew, kConnected, kClosed };

  void JoinPeer(int peer);
  void SendChunk(const char* data, size_t bytes);
  void TakeChunk(char* data, size_t bytes, int root);
  const SegmentLayout& CheckSlot(int slot, int rank) const;
  void CheckConnected() const;
  RankState& own() const { return control_.rank(options_.rank); }

  ShmOptions options_;
  ControlBlock control_;
  Waiting waiting_;
  std::vector<SegmentLayout> layouts_;
  std::vector<Segment> segments_;
  State state_ = State::kNew;
  // Chunks broadcast so far by anybody: equal on all ranks, since all take part in every broadcast.
  uint32_t chunks_ = 0;
  std::atomic<uint64_t> bytes_published_{0};
  std::atomic<uint64_t> bytes_fetched_{0};
};

}  // namespace distri::shm
