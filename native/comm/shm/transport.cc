#include "comm/shm/transport.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "comm/shm/control_block.h"
#include "comm/shm/shm_communicator.h"

namespace distri::shm {
namespace {

std::string Problem() {
  const int descriptor = memfd_create("distri-probe", MFD_CLOEXEC);
  if (descriptor < 0) return "cannot create shared memory: " + std::string(std::strerror(errno));
  close(descriptor);
  return "";
}

std::unique_ptr<Liveness> Open(const RunOptions& options) { return std::make_unique<ControlBlock>(options); }

std::unique_ptr<Communicator> Make(const CommunicatorOptions& options) {
  return std::make_unique<ShmCommunicator>(options);
}

}  // namespace

const Transport kTransport{"shm", "ranks on one host, through memory files (memfd) and futexes", Problem,
                           Open, Make};

}  // namespace distri::shm
