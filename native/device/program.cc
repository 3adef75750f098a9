#include "device/program.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>

#include "device/cpu/commands.h"
#include "device/cpu/product_mix.h"

namespace distri::device {
namespace {

// Takes words one after the other, and nothing that is no whole number where one is due.
class Reader {
 public:
  explicit Reader(const std::vector<double>& words) : words_(words) {}

  double Number() {
    if (next_ >= words_.size()) throw std::invalid_argument("a list of commands ends too early");
    return words_[next_++];
  }

  int64_t Integer(int64_t least, int64_t most) {
    const double number = Number();
    if (!(number >= static_cast<double>(least) && number <= static_cast<double>(most)) ||
        std::trunc(number) != number) {
      throw std::invalid_argument("a list of commands has " + std::to_string(number) + " where a number from " +
                                  std::to_string(least) + " to " + std::to_string(most) + " is due");
    }
    return static_cast<int64_t>(number);
  }

  bool AtEnd() const { return next_ == words_.size(); }

 private:
  const std::vector<double>& words_;
  size_t next_ = 0;
};

using Clock = std::chrono::steady_clock;

constexpr int64_t kMost = int64_t{1} << 48;

// From the first to behind the last byte that the operand has, which have to be in its buffer.
void CheckBounds(const Operand& operand, size_t bytes) {
  int64_t last = 0;
  int64_t first = 0;
  for (int axis = 0; axis < operand.shape.rank; ++axis) {
    const size_t at = static_cast<size_t>(axis);
    if (operand.shape.shape[at] == 0) return;
    const int64_t distance = (operand.shape.shape[at] - 1) * operand.shape.strides[at];
    (distance < 0 ? first : last) += distance;
  }
  const auto item = static_cast<int64_t>(ItemBytes(operand.shape.type));
  if (operand.offset + first * item < 0 ||
      operand.offset + (last + 1) * item > static_cast<int64_t>(bytes)) {
    throw std::invalid_argument("an operand leaves its buffer");
  }
}

Operand ReadOperand(Reader& reader, int64_t buffer, const std::vector<size_t>& bytes) {
  if (buffer >= static_cast<int64_t>(bytes.size())) throw std::invalid_argument("an operand is in no buffer");
  Operand operand;
  operand.buffer = static_cast<int>(buffer);
  operand.offset = reader.Integer(-kMost, kMost);
  operand.shape.type = static_cast<Type>(reader.Integer(0, 2));
  operand.shape.rank = static_cast<int>(reader.Integer(0, kMaxRank));
  for (int axis = 0; axis < operand.shape.rank; ++axis) {
    operand.shape.shape[static_cast<size_t>(axis)] = reader.Integer(0, kMost);
  }
  for (int axis = 0; axis < operand.shape.rank; ++axis) {
    operand.shape.strides[static_cast<size_t>(axis)] = reader.Integer(-kMost, kMost);
  }
  return operand;
}

// Marks in `uses` the buffers that they have operands in.
std::vector<std::unique_ptr<Executor>> ReadCommands(const EncodedCommands& encoded,
                                                    const std::vector<size_t>& bytes,
                                                    std::vector<bool>& uses) {
  std::vector<std::unique_ptr<Executor>> commands;
  Reader reader(encoded.words);
  for (const std::string& name : encoded.names) {
    const auto row = static_cast<size_t>(reader.Integer(0, static_cast<int64_t>(encoded.operators.size()) - 1));
    const cpu::CommandRow& kind = cpu::FindCommand(encoded.operators[row]);
    std::vector<std::vector<double>> attributes(kind.attributes);
    for (std::vector<double>& attribute : attributes) {
      attribute.resize(static_cast<size_t>(reader.Integer(0, 1024)));
      for (double& number : attribute) number = reader.Number();
    }
    std::vector<std::optional<Operand>> operands(kind.operands);
    for (std::optional<Operand>& operand : operands) {
      const int64_t buffer = reader.Integer(-1, kMost);
      if (buffer < 0) continue;
      operand = ReadOperand(reader, buffer, bytes);
      CheckBounds(*operand, bytes[static_cast<size_t>(buffer)]);
      uses[static_cast<size_t>(buffer)] = true;
    }
    try {
      commands.push_back(kind.create(Command(name, std::move(attributes), std::move(operands))));
    } catch (const std::exception& error) {
      throw std::invalid_argument(encoded.operators[row] + " " + name + ": " + error.what());
    }
  }
  if (!reader.AtEnd()) throw std::invalid_argument("a list of commands goes on after its end");
  return commands;
}

}  // namespace

void Pack(const PackedSpec& spec, std::byte* packed, cpu::Pool& pool) {
  if (spec.mix.empty()) return cpu::PackWeights(spec.shape, spec.source, packed, pool);
  const std::vector<float> mixed = cpu::MixSegments(spec.shape, spec.source, spec.mix, pool);
  const auto [features, segments, inner, type, geglu] = spec.shape;
  cpu::PackWeights(spec.shape,
                   {reinterpret_cast<const std::byte*>(mixed.data()), Type::kFloat32, inner * segments, 1, segments},
                   packed, pool);
}

Program::Program(const ProgramSpec& spec) : pool_(spec.threads), communicator_(spec.communicator) {
  memory_.emplace_back(spec.arena_bytes);
  bases_.push_back(memory_.back().data());
  bytes_.push_back(spec.arena_bytes);
  for (const BufferSpec& buffer : spec.buffers) AddBuffer(buffer);
  for (const EncodedList& list : spec.lists) lists_.push_back(ReadList(list));
  size_t work = 0;
  for (const List& list : lists_) work = std::max({work, MostWork(list.prepared), MostWork(list.commands)});
  work_ = Memory(work);
}

size_t Program::MostWork(const Executors& commands) const {
  size_t most = 0;
  for (const auto& command : commands) most = std::max(most, command->WorkBytes(pool_));
  return most;
}

Program::List Program::ReadList(const EncodedList& encoded) const {
  List list;
  list.uses.resize(bytes_.size());
  list.prepared = ReadCommands(encoded.prepared, bytes_, list.uses);
  list.commands = ReadCommands(encoded.commands, bytes_, list.uses);
  list.nanoseconds.resize(list.commands.size());
  return list;
}

void Program::AddBuffer(const BufferSpec& spec) {
  bytes_.push_back(spec.bytes);
  switch (spec.kind) {
    case BufferSpec::Kind::kInput:
    case BufferSpec::Kind::kOutput:
      given_.push_back(bases_.size());
      given_bytes_.push_back(spec.bytes);
      bases_.push_back(nullptr);
      return;
    case BufferSpec::Kind::kWeight:
    case BufferSpec::Kind::kPacked:
      // Commands only read it.
      bases_.push_back(const_cast<std::byte*>(spec.data));
      return;
    case BufferSpec::Kind::kUnpacked:
      memory_.emplace_back(cpu::PackedBytes(spec.unpacked.shape));
      Pack(spec.unpacked, memory_.back().data(), pool_);
      break;
    case BufferSpec::Kind::kKept:
      memory_.emplace_back(spec.bytes);
      break;
  }
  bases_.push_back(memory_.back().data());
}

void Program::Run(size_t index, const std::vector<std::byte*>& given, bool prepare, const Step& step) {
  List& list = lists_.at(index);
  for (size_t place = 0; place < given_.size(); ++place) {
    bases_[given_[place]] = given.at(place);
    if (given[place] == nullptr && list.uses[given_[place]]) {
      throw std::invalid_argument("input or output " + std::to_string(place) + " of a list is missing");
    }
  }
  const Call call{bases_, pool_, work_.data(), communicator_.get(), step};
  if (prepare) {
    for (const auto& command : list.prepared) command->Run(call);
  }
  auto before = Clock::now();
  for (size_t place = 0; place < list.commands.size(); ++place) {
    list.commands[place]->Run(call);
    const auto after = Clock::now();
    list.nanoseconds[place] += std::chrono::duration_cast<std::chrono::nanoseconds>(after - before).count();
    before = after;
  }
}

}  // namespace distri::device
