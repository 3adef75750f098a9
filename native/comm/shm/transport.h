#pragma once

#include "comm/transport.h"

namespace distri::shm {

// Ranks that are processes of one host (or threads of one process) and share memory.
extern const Transport kTransport;

}  // namespace distri::shm
