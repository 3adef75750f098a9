// The commands that a CPU runs, by name.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "device/program.h"

namespace distri::device::cpu {

struct CommandRow {
  const char* name;
  size_t operands;
  size_t attributes;
  std::unique_ptr<Executor> (*create)(Command command);
};

// Throws std::invalid_argument for a name that there is not.
const CommandRow& FindCommand(const std::string& name);

}  // namespace distri::device::cpu
