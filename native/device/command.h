// Commands as data: what a list of the lowered engine consists of, whatever device runs it.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "device/strided.h"

namespace distri::device {

// An operand: a part of one of a program's buffers.
struct Operand {
  int buffer = 0;
  int64_t offset = 0;  // in bytes
  Strided shape;       // without data
};

// Where buffers begin, in a call.
using Bases = std::vector<std::byte*>;

class Command {
 public:
  Command(std::string name, std::vector<std::vector<double>> attributes,
          std::vector<std::optional<Operand>> operands)
      : name_(std::move(name)), attributes_(std::move(attributes)), operands_(std::move(operands)) {}

  const std::string& name() const { return name_; }
  const std::vector<std::optional<Operand>>& operands() const { return operands_; }

  double Number(size_t attribute) const { return attributes_.at(attribute).at(0); }
  int64_t Integer(size_t attribute) const { return static_cast<int64_t>(Number(attribute)); }
  std::vector<int64_t> Integers(size_t attribute) const {
    const std::vector<double>& numbers = attributes_.at(attribute);
    return {numbers.begin(), numbers.end()};
  }

  bool Has(size_t operand) const { return operands_.at(operand).has_value(); }
  // Null data where the operand was left out.
  Strided At(size_t operand, const Bases& bases) const {
    const std::optional<Operand>& found = operands_.at(operand);
    if (!found) return {};
    Strided array = found->shape;
    array.data = bases[static_cast<size_t>(found->buffer)] + found->offset;
    return array;
  }

 private:
  std::string name_;
  std::vector<std::vector<double>> attributes_;
  std::vector<std::optional<Operand>> operands_;
};

}  // namespace distri::device
