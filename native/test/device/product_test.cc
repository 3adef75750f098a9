#include "device/cpu/product.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "device/cpu/bfloat16.h"
#include "test/device/tests.h"

namespace distri::test {
namespace {

using namespace device;
using namespace device::cpu;

constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

struct Shape {
  Positions positions;
  int64_t features;
  // Places in a row of it.
  int64_t kernel = 1;
  int64_t inner;
  int64_t step = 1;
  Type type = Type::kFloat32;
  Activation activation = Activation::kNone;
  bool bias = false;
  bool shift = false;
  bool gate = false;
  bool residual = false;
  Type residual_type = Type::kFloat32;
  Type result_type = Type::kFloat32;
  // Elements between what belongs to neighbouring positions.
  int64_t gap = 0;

  bool Geglu() const { return activation == Activation::kGeglu; }
  int64_t Results() const { return Geglu() ? features / 2 : features; }
  int64_t Segments() const { return kernel * kernel; }
  int64_t Count() const { return positions.images * positions.rows * positions.columns; }
};

// Values of a type.
class Array {
 public:
  Array(Type type, int64_t count, float value) : type_(type), bytes_(count * ItemBytes(type)) {
    for (int64_t i = 0; i < count; ++i) Set(i, value);
  }

  std::byte* data() { return bytes_.data(); }
  Type type() const { return type_; }
  int64_t size() const { return static_cast<int64_t>(bytes_.size() / ItemBytes(type_)); }

  void Set(int64_t index, float value) {
    std::byte* at = bytes_.data() + index * ItemBytes(type_);
    const uint16_t half = ToBFloat16(value);
    if (type_ == Type::kFloat32)
      std::memcpy(at, &value, sizeof value);
    else
      std::memcpy(at, &half, sizeof half);
  }

  float Get(int64_t index) const {
    const std::byte* at = bytes_.data() + index * ItemBytes(type_);
    float value;
    uint16_t half;
    if (type_ == Type::kFloat32) {
      std::memcpy(&value, at, sizeof value);
      return value;
    }
    std::memcpy(&half, at, sizeof half);
    return FromBFloat16(half);
  }

  bool operator==(const Array& other) const { return bytes_ == other.bytes_; }

 private:
  Type type_;
  std::vector<std::byte> bytes_;
};

struct Free {
  void operator()(std::byte* data) const { std::free(data); }
};

// Everything that a product reads, and where its results go: exactly what the contract lets it touch, with
// NaNs in between.
class Operands {
 public:
  Operands(const Shape& shape, unsigned seed)
      : shape_(shape), random_(seed), x_(MakeX()), result_(MakeResult()) {
    const int64_t elements = shape.features * shape.Segments() * shape.inner;
    weights_.resize(static_cast<size_t>(elements));
    const float scale = 1.0f / std::sqrt(static_cast<float>(shape.Segments() * shape.inner + 1));
    // A weight that is kept as bfloat16 already, so that both types of sources hold the same.
    for (float& weight : weights_) weight = FromBFloat16(ToBFloat16(scale * Uniform()));
    for (int64_t i = 0; i < shape.features; ++i) bias_.push_back(Uniform());
    for (int64_t i = 0; i < shape.positions.images * (shape.features + 3); ++i) shift_.push_back(Uniform());
    for (int64_t i = 0; i < shape.positions.images * (shape.Results() + 5); ++i) gate_.push_back(Uniform());
    if (shape.residual) {
      residual_ = std::make_unique<Array>(shape.residual_type, result_.size(), kPoison);
      ForEachResult([&](int64_t, int64_t, int64_t at) { residual_->Set(at, Uniform()); });
    }
  }

  const Shape& shape() const { return shape_; }

  void Pack(Type source_type, Pool& pool) {
    Array torch(source_type, static_cast<int64_t>(weights_.size()), 0);
    for (size_t i = 0; i < weights_.size(); ++i) torch.Set(static_cast<int64_t>(i), weights_[i]);
    const size_t bytes = PackedBytes(Weights());
    Check(bytes % 64 == 0, "packed weights are lines");
    packed_.reset(static_cast<std::byte*>(std::aligned_alloc(64, std::max<size_t>(bytes, 64))));
    // As torch has it, [features, inner, kernel, kernel].
    const WeightSource source{torch.data(), source_type, shape_.inner * shape_.Segments(), 1,
                              shape_.Segments()};
    PackWeights(Weights(), source, packed_.get(), pool);
  }

  // For rows of the positions, from `first` on.
  Product Part(int64_t first, int64_t rows, Array& result) const {
    Product product;
    product.positions = {shape_.positions.images, rows, shape_.positions.columns};
    const int64_t pitch = Pitch(shape_.inner);
    const int64_t width = InColumns() * pitch;
    product.x = {x_.data() + first * shape_.step * width * ItemBytes(shape_.type), shape_.type,
                 InRows() * width, shape_.step * width, shape_.step * pitch};
    product.segment_offsets = offsets_.data();
    product.weights = Weights();
    product.packed = packed_.get();
    if (shape_.bias) product.bias = bias_.data();
    if (shape_.shift) {
      product.shift = shift_.data();
      product.shift_stride = shape_.features + 3;
    }
    product.activation = shape_.activation;
    if (shape_.gate) {
      product.gate = gate_.data();
      product.gate_stride = shape_.Results() + 5;
    }
    if (residual_) product.residual = Positioned(*residual_, first);
    product.result = Positioned(result, first);
    return product;
  }

  Array Compute(Pool& pool) {
    Array result = result_;
    Run(Part(0, shape_.positions.rows, result), pool);
    return result;
  }

  const Array& Untouched() const { return result_; }

  // Calls with position, feature and index.
  template <class Function>
  void ForEachResult(const Function& function) const {
    const Positions& p = shape_.positions;
    for (int64_t position = 0; position < shape_.Count(); ++position) {
      const int64_t image = position / (p.rows * p.columns);
      const int64_t row = position / p.columns % p.rows;
      const PositionedArray array = Strides();
      const int64_t at =
          image * array.image_stride + row * array.row_stride + position % p.columns * array.column_stride;
      for (int64_t feature = 0; feature < shape_.Results(); ++feature)
        function(position, feature, at + feature);
    }
  }

  // The sum of a feature with bias and shift; and of the magnitudes of its terms.
  std::pair<double, double> Sum(int64_t position, int64_t feature) const {
    const Positions& p = shape_.positions;
    const int64_t image = position / (p.rows * p.columns);
    const int64_t row = position / p.columns % p.rows * shape_.step;
    const int64_t column = position % p.columns * shape_.step;
    double sum = 0;
    double magnitude = 0;
    const auto add = [&](double term) {
      sum += term;
      magnitude += std::abs(term);
    };
    for (int64_t segment = 0; segment < shape_.Segments(); ++segment) {
      const int64_t pixel =
          (image * InRows() + row + segment / shape_.kernel) * InColumns() + column + segment % shape_.kernel;
      for (int64_t j = 0; j < shape_.inner; ++j) {
        const auto weight = static_cast<size_t>((feature * shape_.inner + j) * shape_.Segments() + segment);
        add(static_cast<double>(weights_[weight]) * x_.Get(pixel * Pitch(shape_.inner) + j));
      }
    }
    if (shape_.bias) add(bias_[static_cast<size_t>(feature)]);
    if (shape_.shift) add(shift_[static_cast<size_t>(image * (shape_.features + 3) + feature)]);
    return {sum, magnitude};
  }

  double Gate(int64_t position, int64_t feature) const {
    if (!shape_.gate) return 1;
    const int64_t image = position / (shape_.positions.rows * shape_.positions.columns);
    return gate_[static_cast<size_t>(image * (shape_.Results() + 5) + feature)];
  }

  double Residual(int64_t at) const { return residual_ ? residual_->Get(at) : 0.0; }

 private:
  float Uniform() { return std::uniform_real_distribution<float>(-1, 1)(random_); }

  int64_t Pitch(int64_t elements) const { return elements + shape_.gap; }
  int64_t InRows() const { return (shape_.positions.rows - 1) * shape_.step + shape_.kernel; }
  int64_t InColumns() const { return (shape_.positions.columns - 1) * shape_.step + shape_.kernel; }

  WeightShape Weights() const {
    return {shape_.features, shape_.Segments(), shape_.inner, shape_.type, shape_.Geglu()};
  }

  Array MakeX() {
    const int64_t pitch = Pitch(shape_.inner);
    const int64_t pixels = shape_.positions.images * InRows() * InColumns();
    Array x(shape_.type, pixels * pitch - shape_.gap, kPoison);
    for (int64_t pixel = 0; pixel < pixels; ++pixel)
      for (int64_t j = 0; j < shape_.inner; ++j) x.Set(pixel * pitch + j, Uniform());
    for (int64_t segment = 0; segment < shape_.Segments(); ++segment)
      offsets_.push_back((segment / shape_.kernel * InColumns() + segment % shape_.kernel) * pitch);
    return x;
  }

  // Rows and images have a gap of their own, of one position.
  PositionedArray Strides() const {
    const int64_t column = Pitch(shape_.Results());
    const int64_t row = (shape_.positions.columns + (shape_.gap ? 1 : 0)) * column;
    return {nullptr, shape_.result_type, (shape_.positions.rows + (shape_.gap ? 1 : 0)) * row, row, column};
  }

  Array MakeResult() const {
    int64_t end = 0;
    ForEachResult([&](int64_t, int64_t, int64_t at) { end = at + 1; });
    return Array(shape_.result_type, end, kPoison);
  }

  PositionedArray Positioned(Array& array, int64_t first) const {
    PositionedArray positioned = Strides();
    positioned.type = array.type();
    positioned.data = array.data() + first * positioned.row_stride * ItemBytes(array.type());
    return positioned;
  }

  Shape shape_;
  std::mt19937 random_;
  std::vector<int64_t> offsets_;
  mutable Array x_;
  Array result_;
  std::vector<float> weights_;
  std::vector<float> bias_;
  std::vector<float> shift_;
  std::vector<float> gate_;
  std::unique_ptr<Array> residual_;
  std::unique_ptr<std::byte, Free> packed_;
};

double ExactGelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }

double Activate(Activation activation, double x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kGelu:
      return ExactGelu(x);
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case Activation::kQuickGelu:
      return x / (1 + std::exp(-1.702 * x));
    case Activation::kNone:
    case Activation::kGeglu:
      break;
  }
  return x;
}

std::string Name(const Shape& s) {
  const auto text = [](int64_t value) { return std::to_string(value) + " "; };
  return text(s.positions.images) + text(s.positions.rows) + text(s.positions.columns) + "features " +
         text(s.features) + "kernel " + text(s.kernel) + "inner " + text(s.inner) + "step " + text(s.step) +
         "type " + text(static_cast<int>(s.type)) + "activation " + text(static_cast<int>(s.activation)) +
         "gap " + text(s.gap);
}

// What is right, and how far from it a result may be.
void CheckResult(const Operands& operands, const Array& result) {
  const Shape& shape = operands.shape();
  Array rest = result;
  operands.ForEachResult([&](int64_t position, int64_t feature, int64_t at) {
    auto [value, magnitude] = operands.Sum(position, feature);
    if (shape.Geglu()) {
      const auto [gate, gates] = operands.Sum(position, feature + shape.Results());
      magnitude = magnitude * (std::abs(gate) + gates) + gates;
      value *= ExactGelu(gate);
    } else {
      value = Activate(shape.activation, value);
    }
    value = value * operands.Gate(position, feature) + operands.Residual(at);
    double tolerance = 2e-6 * (magnitude + std::abs(operands.Residual(at)) + 1);
    if (shape.result_type == Type::kBFloat16) tolerance += std::abs(value) / 250;
    const double error = std::abs(result.Get(at) - value);
    Check(error <= tolerance, Name(shape) + "error " + std::to_string(error) + " at position " +
                                  std::to_string(position) + ", feature " + std::to_string(feature));
    rest.Set(at, kPoison);
  });
  Check(rest == operands.Untouched(), Name(shape) + "nothing is written between results");
}

// The same bits, whatever is computed together and on however many threads.
void CheckParts(Operands& operands, const Array& whole) {
  const Shape& shape = operands.shape();
  Pool pool(3);
  Check(operands.Compute(pool) == whole, Name(shape) + "the number of threads changes nothing");
  for (const int64_t height : {int64_t{1}, int64_t{3}}) {
    Array parts = operands.Untouched();
    for (int64_t row = 0; row < shape.positions.rows; row += height)
      Run(operands.Part(row, std::min(height, shape.positions.rows - row), parts), pool);
    Check(parts == whole, Name(shape) + "other rows change nothing");
  }
}

// Columns of a unit of sums, or 0 where rows have no units.
int64_t SummedColumns(const Shape& shape) {
  for (int64_t columns = kMostSummedColumns; columns >= 8; columns /= 2)
    if (shape.positions.columns % columns == 0) return columns;
  return 0;
}

// Sums and sums of squares of all units, [images, rows, units, 2, results], as those of `height` rows at a time.
std::vector<float> ComputeSums(const Operands& operands, int64_t height, Pool& pool) {
  const Shape& shape = operands.shape();
  const Positions& p = shape.positions;
  const int64_t columns = SummedColumns(shape);
  const int64_t unit = 2 * shape.Results();
  const int64_t row_stride = p.columns / columns * unit;
  std::vector<float> sums(static_cast<size_t>(p.images * p.rows * row_stride), kPoison);
  Array result = operands.Untouched();
  for (int64_t row = 0; row < p.rows; row += height) {
    const int64_t rows = std::min(height, p.rows - row);
    Product product = operands.Part(row, rows, result);
    product.sums = {sums.data() + row * row_stride, columns,    p.columns / columns, rows,
                    p.rows * row_stride,            row_stride, unit};
    Run(product, pool);
  }
  return sums;
}

// They are those of results as they were written, and the same bits for any rows and threads.
void CheckSums(const Operands& operands, const Array& whole) {
  const Shape& shape = operands.shape();
  const int64_t columns = SummedColumns(shape);
  if (columns == 0) return;
  Pool one(1);
  const std::vector<float> sums = ComputeSums(operands, shape.positions.rows, one);
  Pool pool(3);
  for (const int64_t height : {int64_t{1}, int64_t{3}, shape.positions.rows})
    Check(ComputeSums(operands, height, pool) == sums, Name(shape) + "sums depend on nothing but their columns");
  std::vector<double> expected(sums.size());
  operands.ForEachResult([&](int64_t position, int64_t feature, int64_t at) {
    const auto unit = static_cast<size_t>(position / columns * 2 * shape.Results() + feature);
    const double value = whole.Get(at);
    expected[unit] += value;
    expected[unit + static_cast<size_t>(shape.Results())] += value * value;
  });
  for (size_t i = 0; i < sums.size(); ++i) {
    const double tolerance = 1e-5 * (std::abs(expected[i]) + static_cast<double>(columns));
    Check(std::abs(sums[i] - expected[i]) <= tolerance, Name(shape) + "a sum of columns");
  }
}

void CheckShape(const Shape& shape, unsigned seed) {
  Pool one(1);
  Operands operands(shape, seed);
  operands.Pack(seed % 2 ? Type::kFloat32 : Type::kBFloat16, one);
  const Array whole = operands.Compute(one);
  CheckResult(operands, whole);
  CheckParts(operands, whole);
  CheckSums(operands, whole);
}

Shape RandomShape(std::mt19937& random) {
  const auto between = [&](int64_t first, int64_t last) {
    return std::uniform_int_distribution<int64_t>(first, last)(random);
  };
  const auto type = [&] { return between(0, 1) ? Type::kFloat32 : Type::kBFloat16; };
  Shape shape{};
  shape.kernel = between(0, 1) ? 3 : 1;
  shape.step = shape.kernel == 3 ? between(1, 2) : 1;
  shape.positions = {between(1, 3), between(1, 5), between(0, 3) ? between(1, 40) : 1};
  shape.inner = between(0, 2) ? between(1, 70) : 32 * between(1, 3);
  shape.type = type();
  shape.activation = static_cast<Activation>(between(0, 5));
  shape.features = shape.Geglu() ? 2 * between(1, 50) : between(1, 100);
  shape.bias = between(0, 1);
  shape.shift = between(0, 1);
  shape.gate = between(0, 1);
  shape.residual = between(0, 1);
  shape.residual_type = type();
  shape.result_type = type();
  shape.gap = between(0, 1) ? between(1, 9) : 0;
  return shape;
}

void ProductsAreRightForAnyShape() {
  std::mt19937 random(1);
  for (unsigned seed = 0; seed < 100; ++seed) CheckShape(RandomShape(random), seed);
}

Shape Tokens(int64_t count, int64_t inner, int64_t features, Type type) {
  Shape shape{};
  shape.positions = {1, 1, count};
  shape.inner = inner;
  shape.features = features;
  shape.type = type;
  shape.result_type = type;
  return shape;
}

// Sums of several chunks, panels and blocks of positions; and rows of images that end within a tile.
void ProductsAreRightAcrossChunksAndBlocks() {
  for (const Type type : {Type::kFloat32, Type::kBFloat16}) {
    CheckShape(Tokens(2, 1280, 96, type), 1);
    CheckShape(Tokens(1100, 40, 36, type), 2);
    CheckShape(Tokens(37, 1153, 34, type), 3);
    CheckShape(Tokens(1, 1, 1, type), 4);
    for (const int64_t columns : {8, 16, 24, 32, 96}) {
      Shape image = Tokens(columns, 96, 34, type);
      image.positions = {2, 6, columns};
      image.kernel = 3;
      image.shift = true;
      CheckShape(image, 5);
    }
    // More places than are taken with one pass.
    Shape large = Tokens(9, 70, 34, type);
    large.kernel = 5;
    CheckShape(large, 8);
  }
}

// A vector for each image, as of time embeddings, and results in the order of another array.
void ShiftsAndGatesBelongToImages() {
  for (const Type type : {Type::kFloat32, Type::kBFloat16}) {
    Shape shape = Tokens(1, 64, 70, type);
    shape.positions = {8, 1, 1};
    shape.shift = true;
    shape.residual = true;
    CheckShape(shape, 6);
    shape.gate = true;
    CheckShape(shape, 7);
    shape.shift = false;
    CheckShape(shape, 8);
  }
}

void NothingIsComputedWithoutPositions() {
  Pool pool(2);
  for (const Positions positions : {Positions{0, 3, 3}, Positions{2, 0, 3}, Positions{2, 3, 0}}) {
    Product product;
    product.positions = positions;
    product.weights = {64, 1, 64, Type::kFloat32, false};
    Run(product, pool);
  }
}

// Of one element and feature.
std::vector<float> ActivationOf(Activation activation, Type type, const std::vector<float>& values) {
  Pool pool(1);
  const auto count = static_cast<int64_t>(values.size());
  Array x(type, count, 0);
  Array y(type, count, 0);
  Array one(Type::kFloat32, 1, 1);
  for (int64_t i = 0; i < count; ++i) x.Set(i, values[static_cast<size_t>(i)]);
  Product product;
  product.positions = {1, 1, count};
  product.x = {x.data(), type, 0, 0, 1};
  product.weights = {1, 1, 1, type, false};
  const std::unique_ptr<std::byte, Free> packed(
      static_cast<std::byte*>(std::aligned_alloc(64, PackedBytes(product.weights))));
  PackWeights(product.weights, {one.data(), Type::kFloat32, 1, 1, 1}, packed.get(), pool);
  product.packed = packed.get();
  product.activation = activation;
  product.result = {y.data(), type, 0, 0, 1};
  Run(product, pool);
  std::vector<float> results;
  for (int64_t i = 0; i < count; ++i) results.push_back(y.Get(i));
  return results;
}

void ExtremeSumsStayFiniteAndNotANumberStays() {
  for (const Type type : {Type::kFloat32, Type::kBFloat16}) {
    const float large = FromBFloat16(ToBFloat16(1e30f));
    for (const Activation activation :
         {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh, Activation::kQuickGelu}) {
      const std::vector<float> y = ActivationOf(activation, type, {-large, large, kPoison});
      Check(std::abs(y[0]) < 1e-6f, "a large negative sum becomes zero");
      Check(y[1] == large, "a large sum stays");
      Check(std::isnan(y[2]), "NaN stays");
    }
  }
}

// Without any terms a sum is zero.
void SumsOfNothingAreZero() {
  Shape shape = Tokens(3, 0, 5, Type::kFloat32);
  shape.bias = true;
  CheckShape(shape, 7);
}

const AddTests added({DISTRI_TEST(ProductsAreRightForAnyShape),
                      DISTRI_TEST(ProductsAreRightAcrossChunksAndBlocks), DISTRI_TEST(ShiftsAndGatesBelongToImages),
                      DISTRI_TEST(NothingIsComputedWithoutPositions), DISTRI_TEST(SumsOfNothingAreZero),
                      DISTRI_TEST(ExtremeSumsStayFiniteAndNotANumberStays)});

}  // namespace
}  // namespace distri::test
