// Tells damaged bytes from whole ones, as fast as memory is read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cpu/pool.h"

namespace distri::device {

// No protection against intent.
uint64_t Checksum(const std::byte* data, size_t bytes, cpu::Pool& pool);

}  // namespace distri::device
