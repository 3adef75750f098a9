// A list of commands with its memory: what the lowered engine loads and runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "device/command.h"
#include "device/cpu/pool.h"
#include "device/cpu/product.h"
#include "device/memory.h"

namespace distri::device {

// What a command is run with.
struct Call {
  const Bases& bases;
  cpu::Pool& pool;
  // As large as any command of the list asks for.
  std::byte* work;
  // Null for programs that exchange nothing.
  Communicator* communicator;
  Step step;
};

// A command of a list, ready to run.
class Executor {
 public:
  virtual ~Executor() = default;
  // Bytes that it needs to work in while it runs.
  virtual size_t WorkBytes(const cpu::Pool&) const { return 0; }
  virtual void Run(const Call& call) = 0;
};

// Commands as JavaScript hands them over, see src/engine/lowered/encode.ts.
struct EncodedCommands {
  std::vector<std::string> operators;
  std::vector<std::string> names;
  std::vector<double> words;
};

struct PackedSpec {
  cpu::WeightShape shape;
  cpu::WeightSource source;
  // Where segments are sums of those of the source: product_mix.h.
  std::vector<double> mix;
};

// A buffer of a program. Buffer 0 is the arena.
struct BufferSpec {
  enum class Kind { kKept, kWeight, kPacked, kInput, kOutput };
  Kind kind = Kind::kKept;
  size_t bytes = 0;
  // Of weights as they are, which outlive the program.
  const std::byte* data = nullptr;
  PackedSpec packed;
};

struct ProgramSpec {
  int threads = 1;
  size_t arena_bytes = 0;
  std::vector<BufferSpec> buffers;
  // Of commands that exchange.
  std::shared_ptr<Communicator> communicator;
  EncodedCommands prepared;
  EncodedCommands commands;
};

class Program {
 public:
  // Checks the commands and packs weights. Throws std::invalid_argument.
  explicit Program(const ProgramSpec& spec);

  // What callers bring, in the order of their buffers: inputs and outputs.
  size_t given() const { return given_.size(); }
  size_t given_bytes(size_t index) const { return given_bytes_[index]; }

  // Nanoseconds that each command took so far, those of every call first to last.
  const std::vector<int64_t>& nanoseconds() const { return nanoseconds_; }

  // `prepare`: what the image gives is new. Not on two threads at a time. Throws CommError.
  void Run(const std::vector<std::byte*>& given, bool prepare, const Step& step);

 private:
  void AddBuffer(const BufferSpec& spec);

  cpu::Pool pool_;
  std::shared_ptr<Communicator> communicator_;
  std::vector<Memory> memory_;
  // For one command at a time.
  Memory work_;
  Bases bases_;
  std::vector<size_t> bytes_;
  std::vector<size_t> given_;
  std::vector<size_t> given_bytes_;
  std::vector<std::unique_ptr<Executor>> prepared_;
  std::vector<std::unique_ptr<Executor>> commands_;
  std::vector<int64_t> nanoseconds_;
};

}  // namespace distri::device
