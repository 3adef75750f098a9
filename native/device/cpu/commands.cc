#include "device/cpu/commands.h"

#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

#include "device/cpu/attention.h"
#include "device/cpu/elementwise.h"
#include "device/cpu/norms.h"
#include "device/cpu/product.h"

namespace distri::device::cpu {
namespace {

void Require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(std::string("expected ") + what);
}

const Strided& ShapeOf(const Command& command, size_t operand) { return command.operands().at(operand)->shape; }

bool InnerDense(const Strided& array) {
  const auto last = static_cast<size_t>(array.rank - 1);
  return array.rank > 0 && (array.strides[last] == 1 || array.shape[last] == 1);
}

PositionedArray Positioned(const Strided& array) {
  if (array.data == nullptr) return {};
  return {array.data, array.type, array.strides[0], array.strides[1], array.strides[2]};
}

Image ImageOf(const Strided& array) {
  return {array.data,       array.type,       array.shape[0],   array.shape[1],  array.shape[2],
          array.shape[3],   array.strides[0], array.strides[1], array.strides[2]};
}

// Commands whose kernels take operands as they are.
template <auto Function>
class Direct : public Executor {
 public:
  explicit Direct(Command command) : command_(std::move(command)) {}
  void Run(const Bases& bases, Pool& pool) override { Function(command_, bases, pool); }

 private:
  Command command_;
};

void RunCopy(const Command& command, const Bases& bases, Pool& pool) {
  Copy(command.At(0, bases), command.At(1, bases), pool);
}

template <Unary op>
void RunUnary(const Command& command, const Bases& bases, Pool& pool) {
  Apply(op, command.At(0, bases), command.At(1, bases), pool);
}

template <Binary op>
void RunBinary(const Command& command, const Bases& bases, Pool& pool) {
  Combine(op, command.At(0, bases), command.At(1, bases), command.At(2, bases), pool);
}

void RunSoftmax(const Command& command, const Bases& bases, Pool& pool) {
  Softmax(command.At(0, bases), command.At(1, bases), pool);
}

void RunGather(const Command& command, const Bases& bases, Pool& pool) {
  Gather(command.At(0, bases), command.At(1, bases), command.At(2, bases), pool);
}

void RunPickTokens(const Command& command, const Bases& bases, Pool& pool) {
  PickTokens(command.At(0, bases), command.At(1, bases), command.At(2, bases), pool);
}

void RunMatrices(const Command& command, const Bases& bases, Pool& pool) {
  MultiplyMatrices(command.At(0, bases), command.At(1, bases), command.At(2, bases), pool);
}

class ClearFrame : public Executor {
 public:
  explicit ClearFrame(Command command) : command_(std::move(command)) {
    for (size_t side = 0; side < 4; ++side) widths_[side] = command_.Integer(side);
    Require(ShapeOf(command_, 0).rank == 4 && InnerDense(ShapeOf(command_, 0)), "an image with channels last");
  }

  void Run(const Bases& bases, Pool& pool) override {
    const Strided image = command_.At(0, bases);
    const auto item = static_cast<int64_t>(ItemBytes(image.type));
    const int64_t pixel = image.strides[2] * item;
    const int64_t row = image.strides[1] * item;
    const auto [top, left, bottom, right] = widths_;
    const int64_t rows = image.shape[1];
    const int64_t columns = image.shape[2];
    const auto width = static_cast<size_t>((left + columns + right) * pixel);
    pool.Run(image.shape[0], [&](int64_t index) {
      std::byte* first = image.data + index * image.strides[0] * item - left * pixel;
      for (int64_t y = -top; y < 0; ++y) std::memset(first + y * row, 0, width);
      for (int64_t y = 0; y < rows; ++y) {
        std::memset(first + y * row, 0, static_cast<size_t>(left * pixel));
        std::memset(first + y * row + (left + columns) * pixel, 0, static_cast<size_t>(right * pixel));
      }
      for (int64_t y = rows; y < rows + bottom; ++y) std::memset(first + y * row, 0, width);
    });
  }

 private:
  Command command_;
  std::array<int64_t, 4> widths_{};
};

class RunProduct : public Executor {
 public:
  explicit RunProduct(Command command) : command_(std::move(command)), distances_(command_.Integers(0)) {
    const Strided& x = ShapeOf(command_, 0);
    Require(x.rank == 4 && ShapeOf(command_, 5).rank == 4, "positions and features");
    Require(InnerDense(x) && InnerDense(ShapeOf(command_, 5)), "features next to each other");
    product_.positions = {x.shape[0], x.shape[1], x.shape[2]};
    product_.segment_offsets = distances_.data();
    product_.activation = static_cast<Activation>(command_.Integer(1));
    product_.weights = {ShapeOf(command_, 1).shape[0], static_cast<int64_t>(distances_.size()), x.shape[3], x.type,
                        product_.activation == Activation::kGeglu};
  }

  void Run(const Bases& bases, Pool& pool) override {
    product_.x = Positioned(command_.At(0, bases));
    product_.packed = command_.At(1, bases).data;
    product_.bias = command_.At(2, bases).as<float>();
    const Strided shift = command_.At(3, bases);
    product_.shift = shift.as<float>();
    product_.shift_stride = shift.strides[0];
    product_.residual = Positioned(command_.At(4, bases));
    product_.result = Positioned(command_.At(5, bases));
    cpu::Run(product_, pool);
  }

 private:
  Command command_;
  std::vector<int64_t> distances_;
  Product product_;
};

Tokens TokensOf(const Strided& array) {
  return {array.data, array.type, array.shape[1], array.strides[0], array.strides[1]};
}

class RunAttention : public Executor {
 public:
  explicit RunAttention(Command command) : command_(std::move(command)) {
    const Strided& query = ShapeOf(command_, 0);
    Require(query.rank == 3 && InnerDense(query), "tokens with features next to each other");
    attention_.images = query.shape[0];
    attention_.heads = command_.Integer(0);
    attention_.head_size = query.shape[2] / attention_.heads;
    attention_.scale = static_cast<float>(command_.Number(1));
    attention_.causal = command_.Integer(2) != 0;
    attention_.parts = 1;
  }

  void Run(const Bases& bases, Pool& pool) override {
    const Tokens keys = TokensOf(command_.At(1, bases));
    const Tokens values = TokensOf(command_.At(2, bases));
    attention_.query = TokensOf(command_.At(0, bases));
    attention_.keys = &keys;
    attention_.values = &values;
    attention_.result = TokensOf(command_.At(3, bases));
    if (work_.data() == nullptr) work_ = Memory(WorkBytes(attention_, pool));
    cpu::Run(attention_, work_.data(), pool);
  }

 private:
  Command command_;
  Attention attention_;
  Memory work_;
};

class RunGroupNorm : public Executor {
 public:
  explicit RunGroupNorm(Command command) : command_(std::move(command)), groups_(command_.Integer(0)) {
    const Strided& x = ShapeOf(command_, 0);
    Require(x.rank == 4 && InnerDense(x), "an image with channels last");
    moments_.resize(static_cast<size_t>(x.shape[0] * groups_));
  }

  void Run(const Bases& bases, Pool& pool) override {
    const Image x = ImageOf(command_.At(0, bases));
    auto* sums = reinterpret_cast<Sums*>(command_.At(3, bases).data);
    // Only float32 is rounded like anybody else's.
    const bool channels = command_.Integer(3) != 0 && x.type == Type::kFloat32;
    const int64_t rows = channels ? 1 : x.rows;
    if (channels) {
      SumChannels(x, groups_, sums, pool);
    } else {
      SumRows(x, groups_, sums, pool);
    }
    const double count = static_cast<double>(x.rows) * static_cast<double>(x.columns * (x.channels / groups_));
    for (int64_t image = 0; image < x.images; ++image) {
      for (int64_t group = 0; group < groups_; ++group) {
        const Sums* first = sums + image * rows * groups_ + group;
        moments_[static_cast<size_t>(image * groups_ + group)] = Add(first, rows, count);
      }
    }
    NormalizeGroups(x, ImageOf(command_.At(4, bases)), groups_, moments_.data(),
                    static_cast<float>(command_.Number(1)), command_.At(1, bases).as<float>(),
                    command_.At(2, bases).as<float>(), command_.Integer(2) != 0, pool);
  }

 private:
  // The rows of a group in their order.
  Moments Add(const Sums* rows, int64_t count, double elements) const {
    double sum = 0;
    double squares = 0;
    for (int64_t row = 0; row < count; ++row) {
      sum += rows[row * groups_].sum;
      squares += rows[row * groups_].squares;
    }
    const double mean = sum / elements;
    return {mean, squares / elements - mean * mean};
  }

  Command command_;
  int64_t groups_;
  std::vector<Moments> moments_;
};

FeatureRows RowsOf(const Strided& array) {
  FeatureRows rows{array.data, array.type, 1, array.shape[static_cast<size_t>(array.rank - 1)], 0};
  for (int axis = 0; axis + 1 < array.rank; ++axis) rows.rows *= array.shape[static_cast<size_t>(axis)];
  rows.row_stride = array.rank > 1 ? array.strides[static_cast<size_t>(array.rank - 2)] : rows.features;
  return rows;
}

template <bool root_mean_square>
void RunLayerNorm(const Command& command, const Bases& bases, Pool& pool) {
  LayerNorm norm;
  norm.x = RowsOf(command.At(0, bases));
  norm.y = RowsOf(command.At(3, bases));
  norm.epsilon = static_cast<float>(command.Number(0));
  norm.scale = command.At(1, bases).as<float>();
  norm.shift = command.At(2, bases).as<float>();
  norm.root_mean_square = root_mean_square;
  norm.rows_per_image = norm.x.rows;
  cpu::Run(norm, pool);
}

template <class Kind>
std::unique_ptr<Executor> Create(Command command) {
  return std::make_unique<Kind>(std::move(command));
}

constexpr CommandRow kCommands[] = {
    {"Add", 3, 0, Create<Direct<RunBinary<Binary::kAdd>>>},
    {"Attention", 4, 3, Create<RunAttention>},
    {"ClearFrame", 1, 4, Create<ClearFrame>},
    {"Copy", 2, 0, Create<Direct<RunCopy>>},
    {"Cosine", 2, 0, Create<Direct<RunUnary<Unary::kCosine>>>},
    {"Gather", 3, 0, Create<Direct<RunGather>>},
    {"Gelu", 2, 0, Create<Direct<RunUnary<Unary::kGelu>>>},
    {"GeluTanh", 2, 0, Create<Direct<RunUnary<Unary::kGeluTanh>>>},
    {"GroupNorm", 5, 4, Create<RunGroupNorm>},
    {"LayerNorm", 4, 1, Create<Direct<RunLayerNorm<false>>>},
    {"Multiply", 3, 0, Create<Direct<RunBinary<Binary::kMultiply>>>},
    {"MultiplyMatrices", 3, 0, Create<Direct<RunMatrices>>},
    {"PickTokens", 3, 0, Create<Direct<RunPickTokens>>},
    {"Product", 6, 2, Create<RunProduct>},
    {"QuickGelu", 2, 0, Create<Direct<RunUnary<Unary::kQuickGelu>>>},
    {"RmsNorm", 4, 1, Create<Direct<RunLayerNorm<true>>>},
    {"Silu", 2, 0, Create<Direct<RunUnary<Unary::kSilu>>>},
    {"Sine", 2, 0, Create<Direct<RunUnary<Unary::kSine>>>},
    {"Softmax", 2, 0, Create<Direct<RunSoftmax>>},
};

}  // namespace

const CommandRow& FindCommand(const std::string& name) {
  for (const CommandRow& row : kCommands) {
    if (name == row.name) return row;
  }
  throw std::invalid_argument("there is no command " + name);
}

}  // namespace distri::device::cpu
