// One slot of the communicator, as an operator uses it in the current step.
#pragma once

#include "ops/session_context.h"

namespace distri::ops {

class Exchange {
 public:
  // Throws std::runtime_error when the session has no communicator.
  Exchange(SessionContext& session, int64_t slot);

  int rank() const { return session_.rank; }
  const Step& step() const { return *session_.step; }
  bool synchronous() const { return step().read_tick == step().tick; }

  // Memory to fill with this rank's data of this step, before Publish. Throws CommError when the slot has
  // another size.
  void* Buffer(size_t bytes) const;
  void Publish() const;
  // What `peer` published at `tick`, `bytes` in all. Throws CommError.
  Reading Fetch(int64_t peer, int64_t tick, size_t bytes) const;
  // A part of the `bytes` that `peer` published: `read` of them from `offset` on.
  Reading FetchPart(int64_t peer, int64_t tick, size_t bytes, size_t offset, size_t read) const;

 private:
  void CheckSize(int rank, size_t bytes) const;

  SessionContext& session_;
  int slot_;
};

}  // namespace distri::ops
