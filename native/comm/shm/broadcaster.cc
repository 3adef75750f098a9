#include "comm/shm/broadcaster.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "comm/communicator.h"

namespace distri::shm {

void Broadcaster::Broadcast(std::byte* data, size_t bytes, int root) {
  for (size_t offset = 0; offset < bytes; offset += Stage::kBytes) {
    const Chunk chunk{count_++, data + offset, std::min(Stage::kBytes, bytes - offset), bytes};
    if (root == rank_) {
      Send(chunk);
    } else {
      Receive(chunk, root);
    }
    channel_.state(rank_).bell.Announce(chunks(rank_), chunk.index + 1);
  }
}

void Broadcaster::Send(const Chunk& chunk) {
  for (int peer = 0; peer < channel_.world_size(); ++peer) {
    waiter_.Wait(peer, [&] { return chunks(peer).load() + 1 >= chunk.index; });
  }
  Stage& stage = segments_[static_cast<size_t>(rank_)].header().stages[chunk.index % 2];
  stage.chunk = chunk.index;
  stage.total_bytes = chunk.total;
  std::memcpy(stage.data, chunk.data, chunk.bytes);
}

void Broadcaster::Receive(const Chunk& chunk, int root) {
  waiter_.Wait(root, [&] { return chunks(root).load() > chunk.index; });
  const Stage& stage = segments_[static_cast<size_t>(root)].header().stages[chunk.index % 2];
  if (stage.chunk != chunk.index || stage.total_bytes != chunk.total) {
    throw CommError(CommErrorCode::kProtocol, "rank " + std::to_string(root) + " does not broadcast the " +
                                                  std::to_string(chunk.total) +
                                                  " bytes that this rank expects");
  }
  std::memcpy(chunk.data, stage.data, chunk.bytes);
}

}  // namespace distri::shm
