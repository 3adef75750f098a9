// Lists of commands with their memory: what the lowered engine loads and runs.
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

// One of the lists of a program.
struct EncodedList {
  // What runs when values of the image are new.
  EncodedCommands prepared;
  EncodedCommands commands;
};

struct PackedSpec {
  cpu::WeightShape shape;
  cpu::WeightSource source;
  // Where segments are sums of those of the source: product_mix.h.
  std::vector<double> mix;
};

// Of PackedBytes(spec.shape).
void Pack(const PackedSpec& spec, std::byte* packed, cpu::Pool& pool);

// A buffer of a program. Buffer 0 is the arena.
struct BufferSpec {
  // A weight as it is, one that the program packs for itself, and one that is packed already.
  enum class Kind { kKept, kWeight, kUnpacked, kPacked, kInput, kOutput };
  Kind kind = Kind::kKept;
  // Of a weight before it is packed.
  size_t bytes = 0;
  // What commands read, which outlives the program.
  const std::byte* data = nullptr;
  PackedSpec unpacked;
};

struct ProgramSpec {
  int threads = 1;
  size_t arena_bytes = 0;
  std::vector<BufferSpec> buffers;
  // Of commands that exchange.
  std::shared_ptr<Communicator> communicator;
  std::vector<EncodedList> lists;
};

class Program {
 public:
  // Checks the commands and packs weights. Throws std::invalid_argument.
  explicit Program(const ProgramSpec& spec);

  // What callers bring, in the order of their buffers: inputs and outputs.
  size_t given() const { return given_.size(); }
  size_t given_bytes(size_t index) const { return given_bytes_[index]; }

  size_t lists() const { return lists_.size(); }
  // Nanoseconds that each command of a list took so far, in all its calls.
  const std::vector<int64_t>& nanoseconds(size_t list) const { return lists_.at(list).nanoseconds; }

  // `given` is null where the list has no such operand. `prepare`: what the image gives is new. Not on two
  // threads at a time. Throws CommError, and std::invalid_argument where something is missing.
  void Run(size_t list, const std::vector<std::byte*>& given, bool prepare, const Step& step);

 private:
  using Executors = std::vector<std::unique_ptr<Executor>>;

  struct List {
    Executors prepared;
    Executors commands;
    // Buffers of which commands have operands.
    std::vector<bool> uses;
    std::vector<int64_t> nanoseconds;
  };

  void AddBuffer(const BufferSpec& spec);
  size_t MostWork(const Executors& commands) const;
  List ReadList(const EncodedList& encoded) const;

  cpu::Pool pool_;
  std::shared_ptr<Communicator> communicator_;
  std::vector<Memory> memory_;
  // For one command at a time.
  Memory work_;
  Bases bases_;
  std::vector<size_t> bytes_;
  std::vector<size_t> given_;
  std::vector<size_t> given_bytes_;
  std::vector<List> lists_;
};

}  // namespace distri::device
