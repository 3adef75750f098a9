#include "device/cpu/commands.h"

#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

#include "device/cpu/attention.h"
#include "device/cpu/column_tiles.h"
#include "device/cpu/elementwise.h"
#include "device/cpu/exact_sums.h"
#include "device/cpu/exchange.h"
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

// Of results with so many columns.
ColumnSums ColumnSumsOf(const Strided& array, int64_t columns) {
  if (array.rank == 0) return {};
  return {array.as<float>(), columns / array.shape[2], array.shape[2],  array.shape[1],
          array.strides[0],  array.strides[1],         array.strides[2]};
}

// Of such an image, if they are there.
void RequireColumnSums(const Command& command, size_t operand, const Strided& image) {
  if (!command.Has(operand)) return;
  const Strided& sums = ShapeOf(command, operand);
  Require(sums.rank == 4 && sums.type == Type::kFloat32 && InnerDense(sums), "sums of float32");
  Require(sums.shape[0] == image.shape[0] && sums.shape[1] == image.shape[1] &&
              sums.shape[3] == 2 * image.shape[3],
          "sums of the image");
  const int64_t units = sums.shape[2];
  Require(units > 0 && image.shape[2] >= units && image.shape[2] % units == 0, "units of columns");
  Require(kMostSummedColumns % (image.shape[2] / units) == 0, "units of columns");
}

// Commands whose kernels take operands as they are.
template <auto Function>
class Direct : public Executor {
 public:
  explicit Direct(Command command) : command_(std::move(command)) {}
  void Run(const Call& call) override { Function(command_, call.bases, call.pool); }

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

void RunRotate(const Command& command, const Bases& bases, Pool& pool) {
  Rotate(command.At(0, bases), command.At(1, bases), command.At(2, bases), command.At(3, bases), pool);
}

void RunSum(const Command& command, const Bases& bases, Pool& pool) {
  Sum(command.At(0, bases), command.At(1, bases), pool);
}

void RunGather(const Command& command, const Bases& bases, Pool& pool) {
  Gather(command.At(0, bases), command.At(1, bases), command.At(2, bases), pool);
}

void RunPickTokens(const Command& command, const Bases& bases, Pool& pool) {
  PickTokens(command.At(0, bases), command.At(1, bases), command.At(2, bases), pool);
}

class ClearFrame : public Executor {
 public:
  explicit ClearFrame(Command command) : command_(std::move(command)) {
    for (size_t side = 0; side < 4; ++side) widths_[side] = command_.Integer(side);
    Require(ShapeOf(command_, 0).rank == 4 && InnerDense(ShapeOf(command_, 0)), "an image with channels last");
  }

  void Run(const Call& call) override {
    const Bases& bases = call.bases;
    Pool& pool = call.pool;
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

// What becomes of sums: bias, shift, gate, residual and result are operands in this order, from `first` on.
void FindFinish(const Command& command, size_t first, const Bases& bases, Product& product) {
  product.bias = command.At(first, bases).as<float>();
  const Strided shift = command.At(first + 1, bases);
  product.shift = shift.as<float>();
  product.shift_stride = shift.strides[0];
  const Strided gate = command.At(first + 2, bases);
  product.gate = gate.as<float>();
  product.gate_stride = gate.strides[0];
  product.residual = Positioned(command.At(first + 3, bases));
  product.result = Positioned(command.At(first + 4, bases));
}

class RunProduct : public Executor {
 public:
  explicit RunProduct(Command command) : command_(std::move(command)), distances_(command_.Integers(0)) {
    const Strided& x = ShapeOf(command_, 0);
    Require(x.rank == 4 && ShapeOf(command_, 6).rank == 4, "positions and features");
    Require(InnerDense(x) && InnerDense(ShapeOf(command_, 6)), "features next to each other");
    product_.positions = {x.shape[0], x.shape[1], x.shape[2]};
    product_.segment_offsets = distances_.data();
    product_.activation = static_cast<Activation>(command_.Integer(1));
    product_.weights = {ShapeOf(command_, 1).shape[0], static_cast<int64_t>(distances_.size()), x.shape[3], x.type,
                        product_.activation == Activation::kGeglu};
    RequireColumnSums(command_, 7, ShapeOf(command_, 6));
  }

  void Run(const Call& call) override {
    const Bases& bases = call.bases;
    Pool& pool = call.pool;
    product_.x = Positioned(command_.At(0, bases));
    product_.packed = command_.At(1, bases).data;
    FindFinish(command_, 2, bases, product_);
    product_.sums = ColumnSumsOf(command_.At(7, bases), product_.positions.columns);
    cpu::Run(product_, pool);
  }

 private:
  Command command_;
  std::vector<int64_t> distances_;
  Product product_;
};

ColumnTiles TilesOf(const Strided& array) {
  return {array.as<float>(), array.shape[1],   array.shape[2],   array.shape[3],  array.shape[4],
          array.strides[0],  array.strides[1], array.strides[2], array.strides[3]};
}

void RequireTiles(const Strided& tiles) {
  Require(tiles.rank == 5 && tiles.type == Type::kFloat32 && tiles.shape[0] == kTilePoints && InnerDense(tiles),
          "tiles of float32");
}

class RunSplitColumns : public Executor {
 public:
  explicit RunSplitColumns(Command command) : command_(std::move(command)) {
    const Strided& x = ShapeOf(command_, 0);
    Require(x.rank == 4 && x.type == Type::kFloat32 && InnerDense(x), "an image of float32 with channels last");
    const Strided& y = ShapeOf(command_, 1);
    RequireTiles(y);
    Require(x.shape[0] == y.shape[1] && x.shape[1] == y.shape[2] && x.shape[3] == y.shape[4], "tiles of the image");
  }

  void Run(const Call& call) override {
    const Strided x = command_.At(0, call.bases);
    SplitColumns(Positioned(x), x.shape[2], TilesOf(command_.At(1, call.bases)), call.pool);
  }

 private:
  Command command_;
};

class RunJoinColumns : public Executor {
 public:
  explicit RunJoinColumns(Command command) : command_(std::move(command)) {
    const Strided& x = ShapeOf(command_, 0);
    RequireTiles(x);
    const Strided& y = ShapeOf(command_, 5);
    Require(y.rank == 4 && InnerDense(y), "features next to each other");
    Require(x.shape[1] == y.shape[0] && x.shape[2] == y.shape[1] && x.shape[4] == y.shape[3] &&
                x.shape[3] == (y.shape[2] + kTileColumns - 1) / kTileColumns,
            "tiles of the result");
    product_.positions = {y.shape[0], y.shape[1], y.shape[2]};
    product_.activation = static_cast<Activation>(command_.Integer(0));
    Require(product_.activation != Activation::kGeglu, "an activation of each feature");
  }

  void Run(const Call& call) override {
    const Bases& bases = call.bases;
    FindFinish(command_, 1, bases, product_);
    JoinColumns(TilesOf(command_.At(0, bases)), product_, call.pool);
  }

 private:
  Command command_;
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
    attention_.query = TokensOf(query);
    keys_ = TokensOf(ShapeOf(command_, 1));
    values_ = TokensOf(ShapeOf(command_, 2));
    if (command_.Has(3)) {
      const Strided& bias = ShapeOf(command_, 3);
      Require(bias.rank == 4 && bias.type == Type::kFloat32, "a bias of float32 for scores");
      Require(bias.shape[0] == query.shape[0] && bias.shape[1] == attention_.heads &&
                  bias.shape[2] == query.shape[1] && bias.shape[3] == keys_.tokens,
              "a bias for every score");
    }
    attention_.keys = &keys_;
    attention_.values = &values_;
    attention_.parts = 1;
  }

  size_t WorkBytes(const Pool& pool) const override { return cpu::WorkBytes(attention_, pool); }

  void Run(const Call& call) override {
    const Bases& bases = call.bases;
    attention_.query = TokensOf(command_.At(0, bases));
    keys_ = TokensOf(command_.At(1, bases));
    values_ = TokensOf(command_.At(2, bases));
    attention_.bias = command_.At(3, bases);
    attention_.result = TokensOf(command_.At(4, bases));
    cpu::Run(attention_, call.work, call.pool);
  }

 private:
  Command command_;
  Attention attention_;
  Tokens keys_;
  Tokens values_;
};

// The sums of an image's groups, of all its rows.
class GroupSums {
 public:
  GroupSums(int64_t groups, bool channels) : groups_(groups), channels_(channels) {}

  // `rows` has room for the sums of each row and group. `columns` are those of x, if they are known.
  void Take(const Image& x, const ColumnSums& columns, Sums* rows, ExactSums* sums, Pool& pool) const {
    // Only float32 is rounded like anybody else's.
    const bool channels = channels_ && x.type == Type::kFloat32;
    const int64_t count = channels ? 1 : x.rows;
    const int64_t elements = x.columns * (x.channels / groups_) * (channels ? x.rows : 1);
    if (channels) {
      SumChannels(x, groups_, rows, pool);
    } else if (columns.data) {
      SumRows(columns, x.images, x.channels, groups_, rows, pool);
    } else {
      SumRows(x, groups_, rows, pool);
    }
    for (int64_t image = 0; image < x.images; ++image) {
      for (int64_t group = 0; group < groups_; ++group) {
        ExactSums& total = sums[image * groups_ + group] = {};
        for (int64_t row = 0; row < count; ++row) {
          total.Add(rows[(image * count + row) * groups_ + group], elements);
        }
      }
    }
  }

 private:
  int64_t groups_;
  bool channels_;
};

class RunGroupNorm : public Executor {
 public:
  explicit RunGroupNorm(Command command)
      : command_(std::move(command)),
        groups_(command_.Integer(0)),
        group_sums_(groups_, command_.Integer(3) != 0) {
    const Strided& x = ShapeOf(command_, 0);
    Require(x.rank == 4 && InnerDense(x), "an image with channels last");
    RequireColumnSums(command_, 3, x);
    sums_.resize(static_cast<size_t>(x.shape[0] * groups_));
    moments_.resize(sums_.size());
  }

  void Run(const Call& call) override {
    const Bases& bases = call.bases;
    const Image x = ImageOf(command_.At(0, bases));
    group_sums_.Take(x, ColumnSumsOf(command_.At(3, bases), x.columns),
                     reinterpret_cast<Sums*>(command_.At(4, bases).data), sums_.data(), call.pool);
    for (size_t i = 0; i < sums_.size(); ++i) moments_[i] = {sums_[i].Mean(), sums_[i].Variance()};
    NormalizeGroups(x, ImageOf(command_.At(5, bases)), groups_, moments_.data(),
                    static_cast<float>(command_.Number(1)), command_.At(1, bases).as<float>(),
                    command_.At(2, bases).as<float>(), command_.Integer(2) != 0, call.pool);
  }

 private:
  Command command_;
  int64_t groups_;
  GroupSums group_sums_;
  std::vector<ExactSums> sums_;
  std::vector<Moments> moments_;
};

// The sums of this rank's rows, to be left for others.
class RunStatistics : public Executor {
 public:
  explicit RunStatistics(Command command)
      : command_(std::move(command)), group_sums_(command_.Integer(0), false) {
    RequireColumnSums(command_, 1, ShapeOf(command_, 0));
  }

  void Run(const Call& call) override {
    const Image x = ImageOf(command_.At(0, call.bases));
    group_sums_.Take(x, ColumnSumsOf(command_.At(1, call.bases), x.columns),
                     reinterpret_cast<Sums*>(command_.At(2, call.bases).data),
                     reinterpret_cast<ExactSums*>(command_.At(3, call.bases).data), call.pool);
  }

 private:
  Command command_;
  GroupSums group_sums_;
};

// A norm of a band of rows, with the statistics of all bands; see docs/operators.md for the ways to take
// them.
class RunBandNorm : public Executor {
 public:
  explicit RunBandNorm(Command command)
      : command_(std::move(command)),
        groups_(command_.Integer(0)),
        statistics_(static_cast<Statistics>(command_.Integer(3))),
        peers_(command_.Integer(4)) {
    moments_.resize(static_cast<size_t>(ShapeOf(command_, 0).shape[0] * groups_));
  }

  void Run(const Call& call) override {
    const Bases& bases = call.bases;
    const auto sums = [&](size_t operand) {
      return reinterpret_cast<const ExactSums*>(command_.At(operand, bases).data);
    };
    const bool synchronous = call.step.read_tick == call.step.tick;
    for (size_t i = 0; i < moments_.size(); ++i) {
      moments_[i] = MomentsOf(sums(3)[i], sums(4) + i, command_.Has(5) ? sums(5) + i : nullptr, synchronous);
    }
    NormalizeGroups(ImageOf(command_.At(0, bases)), ImageOf(command_.At(6, bases)), groups_, moments_.data(),
                    static_cast<float>(command_.Number(1)), command_.At(1, bases).as<float>(),
                    command_.At(2, bases).as<float>(), command_.Integer(2) != 0, call.pool);
  }

 private:
  enum class Statistics { kFresh = 0, kStale = 1, kCorrected = 2, kSeparate = 3 };

  // `others` are those of each other rank, one after the other; `before` is what this rank had when they had
  // theirs.
  Moments MomentsOf(const ExactSums& own, const ExactSums* others, const ExactSums* before,
                    bool synchronous) const {
    if (statistics_ == Statistics::kSeparate && !synchronous) return {own.Mean(), own.Variance()};
    const bool corrected = statistics_ == Statistics::kCorrected && !synchronous;
    ExactSums total = corrected ? *before : own;
    for (int64_t peer = 0; peer < peers_; ++peer) total.Add(others[static_cast<size_t>(peer) * moments_.size()]);
    const double mean = total.Mean() + (corrected ? own.Mean() - before->Mean() : 0);
    const double square = total.MeanSquare() + (corrected ? own.MeanSquare() - before->MeanSquare() : 0);
    const double variance = square - mean * mean;
    return {mean, statistics_ == Statistics::kCorrected && variance < 0 ? own.Variance() : variance};
  }

  Command command_;
  int64_t groups_;
  Statistics statistics_;
  int64_t peers_;
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
  norm.y = RowsOf(command.At(5, bases));
  norm.epsilon = static_cast<float>(command.Number(0));
  norm.scale = command.At(1, bases).as<float>();
  norm.shift = command.At(2, bases).as<float>();
  norm.root_mean_square = root_mean_square;
  const Strided image_scale = command.At(3, bases);
  const Strided image_shift = command.At(4, bases);
  norm.image_scale = image_scale.as<float>();
  norm.image_scale_stride = image_scale.strides[0];
  norm.image_shift = image_shift.as<float>();
  norm.image_shift_stride = image_shift.strides[0];
  norm.rows_per_image = command.Has(3) ? norm.x.rows / image_scale.shape[0] : norm.x.rows;
  cpu::Run(norm, pool);
}

template <class Kind>
std::unique_ptr<Executor> Create(Command command) {
  return std::make_unique<Kind>(std::move(command));
}

constexpr CommandRow kCommands[] = {
    {"Add", 3, 0, Create<Direct<RunBinary<Binary::kAdd>>>},
    {"Attention", 5, 3, Create<RunAttention>},
    {"BandNorm", 7, 5, Create<RunBandNorm>},
    {"ClearFrame", 1, 4, Create<ClearFrame>},
    {"Copy", 2, 0, Create<Direct<RunCopy>>},
    {"Cosine", 2, 0, Create<Direct<RunUnary<Unary::kCosine>>>},
    {"Fetch", 1, 4, CreateFetch},
    {"Gather", 3, 0, Create<Direct<RunGather>>},
    {"Gelu", 2, 0, Create<Direct<RunUnary<Unary::kGelu>>>},
    {"GeluTanh", 2, 0, Create<Direct<RunUnary<Unary::kGeluTanh>>>},
    {"GroupNorm", 6, 4, Create<RunGroupNorm>},
    {"JoinColumns", 6, 1, Create<RunJoinColumns>},
    {"Leave", 1, 3, CreateLeave},
    {"LayerNorm", 6, 1, Create<Direct<RunLayerNorm<false>>>},
    {"Multiply", 3, 0, Create<Direct<RunBinary<Binary::kMultiply>>>},
    {"PickTokens", 3, 0, Create<Direct<RunPickTokens>>},
    {"Product", 8, 2, Create<RunProduct>},
    {"Publish", 0, 2, CreatePublish},
    {"QuickGelu", 2, 0, Create<Direct<RunUnary<Unary::kQuickGelu>>>},
    {"RmsNorm", 6, 1, Create<Direct<RunLayerNorm<true>>>},
    {"Rotate", 4, 0, Create<Direct<RunRotate>>},
    {"Silu", 2, 0, Create<Direct<RunUnary<Unary::kSilu>>>},
    {"Sine", 2, 0, Create<Direct<RunUnary<Unary::kSine>>>},
    {"SplitColumns", 2, 0, Create<RunSplitColumns>},
    {"Statistics", 4, 1, Create<RunStatistics>},
    {"Sum", 2, 0, Create<Direct<RunSum>>},
};

}  // namespace

const CommandRow& FindCommand(const std::string& name) {
  for (const CommandRow& row : kCommands) {
    if (name == row.name) return row;
  }
  throw std::invalid_argument("there is no command " + name);
}

}  // namespace distri::device::cpu
