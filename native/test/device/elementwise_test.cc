#include "device/cpu/elementwise.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "test/device/arrays.h"
#include "test/device/tests.h"

namespace distri::test {
namespace {

using device::Strided;
using device::Type;
using namespace device::cpu;

constexpr Type kFloatTypes[] = {Type::kFloat32, Type::kBFloat16};

Type AnyFloat(Random& random) { return kFloatTypes[Between(random, 0, 1)]; }

std::vector<int64_t> AnyShape(Random& random) {
  const int64_t longest[] = {3000, 70, 24, 11, 6, 5};
  std::vector<int64_t> shape(static_cast<size_t>(Between(random, 1, 6)));
  for (int64_t& size : shape) size = Between(random, 1, longest[shape.size() - 1]);
  return shape;
}

std::vector<int> AnyOrder(Random& random, size_t dimensions) {
  std::vector<int> order(dimensions);
  std::iota(order.begin(), order.end(), 0);
  if (Between(random, 0, 2) > 0) std::shuffle(order.begin(), order.end(), random);
  return order;
}

TestArray AnyArray(Random& random, Type type, const std::vector<int64_t>& shape) {
  return {type, shape, Between(random, 0, 2), AnyOrder(random, shape.size())};
}

// An array repeated along some of the dimensions of `shape`.
struct Repeated {
  TestArray array;
  Strided view;

  Repeated(Random& random, Type type, const std::vector<int64_t>& shape)
      : array(AnyArray(random, type, Kept(random, shape))), view(array.view()) {
    for (size_t d = 0; d < shape.size(); ++d) {
      if (view.shape[d] == 1) view.strides[d] = 0;
      view.shape[d] = shape[d];
    }
  }

  // The element that stands at place `index` of the shape.
  double Get(int64_t index) const {
    int64_t own = 0;
    int64_t size = 1;
    for (int d = view.rank - 1; d >= 0; --d) {
      const auto i = static_cast<size_t>(d);
      if (array.view().shape[i] > 1) own += index % view.shape[i] * size;
      index /= view.shape[i];
      size *= array.view().shape[i];
    }
    return array.Get(own);
  }

 private:
  static std::vector<int64_t> Kept(Random& random, std::vector<int64_t> shape) {
    for (int64_t& size : shape) {
      if (Between(random, 0, 2) == 0) size = 1;
    }
    return shape;
  }
};

void CopiesConvertAndTransposeArraysOfAllStrides() {
  Random random(1);
  Pool pool(2);
  const Type types[] = {Type::kFloat32, Type::kBFloat16, Type::kInt64};
  for (int round = 0; round < 400; ++round) {
    const std::vector<int64_t> shape = AnyShape(random);
    TestArray x = AnyArray(random, types[Between(random, 0, 2)], shape);
    TestArray y = AnyArray(random, types[Between(random, 0, 2)], shape);
    x.FillNormal(random, 100);
    Copy(x.view(), y.view(), pool);
    for (int64_t i = 0; i < x.size(); ++i) {
      Check(y.Get(i) == Rounded(y.view().type, x.Get(i)), "an element and its copy");
    }
    y.CheckSurroundings();
  }
}

void RoundingToBFloat16TakesTheEvenOfTwo() {
  Pool pool(1);
  TestArray x(Type::kFloat32, {37});
  TestArray y(Type::kBFloat16, {37});
  const double values[] = {1.00390625, 1.01171875, 1.00390637, -1.00390625, 3.4e38,
                           1e-40,      -0.0,       65280.0,    INFINITY,    -INFINITY};
  const double expected[] = {1.0, 1.015625, 1.0078125, -1.0,     INFINITY, Rounded(Type::kBFloat16, 1e-40),
                             0.0, 65280.0,  INFINITY,  -INFINITY};
  for (int64_t i = 0; i < x.size(); ++i) x.Set(i, values[i % 10]);
  x.Set(36, NAN);
  Copy(x.view(), y.view(), pool);
  for (int64_t i = 0; i < 36; ++i)
    Check(y.Get(i) == expected[i % 10], "rounding of " + std::to_string(values[i % 10]));
  Check(std::isnan(y.Get(36)), "what is no number stays none");
}

void IntegersAreCopiedExactly() {
  Pool pool(1);
  TestArray x(Type::kInt64, {3, 5}, 1, {1, 0});
  TestArray y(Type::kInt64, {3, 5});
  const int64_t large = (int64_t{1} << 53) + 1;
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 5; ++j) {
      x.view().as<int64_t>()[i * x.view().strides[0] + j * x.view().strides[1]] = large + 10 * i + j;
    }
  }
  Copy(x.view(), y.view(), pool);
  for (int64_t i = 0; i < 15; ++i) {
    Check(y.view().as<int64_t>()[i] == large + 10 * (i / 5) + i % 5, "an integer beyond what float32 holds");
  }
}

void OperandsOfSumsAndProductsAreRepeated() {
  Random random(2);
  Pool pool(2);
  for (int round = 0; round < 300; ++round) {
    const std::vector<int64_t> shape = AnyShape(random);
    Repeated a(random, AnyFloat(random), shape);
    Repeated b(random, AnyFloat(random), shape);
    TestArray y = AnyArray(random, AnyFloat(random), shape);
    a.array.FillNormal(random);
    b.array.FillNormal(random);
    const bool add = round % 2 == 0;
    Combine(add ? Binary::kAdd : Binary::kMultiply, a.view, b.view, y.view(), pool);
    for (int64_t i = 0; i < y.size(); ++i) {
      const auto left = static_cast<float>(a.Get(i));
      const auto right = static_cast<float>(b.Get(i));
      const float exact = add ? left + right : left * right;
      Check(y.Get(i) == Rounded(y.view().type, exact), "a sum or product");
    }
    y.CheckSurroundings();
  }
}

void SumsAreTakenInTheOrderOfTheFirstDimension() {
  Random random(9);
  Pool pool(2);
  for (int round = 0; round < 50; ++round) {
    std::vector<int64_t> shape = AnyShape(random);
    if (shape.size() == static_cast<size_t>(device::kMaxRank)) shape.pop_back();
    TestArray y = AnyArray(random, AnyFloat(random), shape);
    const int64_t parts = 1 + round % 4;
    shape.insert(shape.begin(), parts);
    TestArray x = AnyArray(random, AnyFloat(random), shape);
    x.FillNormal(random);
    Sum(x.view(), y.view(), pool);
    for (int64_t i = 0; i < y.size(); ++i) {
      auto total = static_cast<float>(x.Get(i));
      for (int64_t part = 1; part < parts; ++part) total += static_cast<float>(x.Get(part * y.size() + i));
      Check(y.Get(i) == Rounded(y.view().type, total), "a sum of arrays");
    }
    y.CheckSurroundings();
  }
}

double Expected(Unary op, double x) {
  switch (op) {
    case Unary::kSilu:
      return x / (1 + std::exp(-x));
    case Unary::kQuickGelu:
      return x / (1 + std::exp(-1.702 * x));
    case Unary::kGelu:
      return x * std::erfc(-x / std::sqrt(2.0)) / 2;
    case Unary::kGeluTanh:
      return x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) / 2;
    case Unary::kSine:
      return std::sin(x);
    case Unary::kCosine:
      return std::cos(x);
  }
  return NAN;
}

void FunctionsAreThoseOfDoublePrecision() {
  Random random(3);
  Pool pool(2);
  for (const Unary op :
       {Unary::kSilu, Unary::kQuickGelu, Unary::kGelu, Unary::kGeluTanh, Unary::kSine, Unary::kCosine}) {
    for (int round = 0; round < 20; ++round) {
      const std::vector<int64_t> shape = AnyShape(random);
      TestArray x = AnyArray(random, AnyFloat(random), shape);
      TestArray y = AnyArray(random, AnyFloat(random), shape);
      x.FillNormal(random, 3);
      Apply(op, x.view(), y.view(), pool);
      for (int64_t i = 0; i < x.size(); ++i) {
        CheckClose(y.Get(i), Expected(op, x.Get(i)), y.view().type, 1e-6, 1e-6, "a function");
      }
      y.CheckSurroundings();
    }
  }
}

void AFunctionDependsOnNothingButItsElement() {
  Random random(4);
  Pool pool(1);
  TestArray x(Type::kFloat32, {100});
  x.FillNormal(random);
  for (const Unary op : {Unary::kSilu, Unary::kQuickGelu, Unary::kGelu, Unary::kGeluTanh}) {
    TestArray y(Type::kFloat32, {100});
    Apply(op, x.view(), y.view(), pool);
    for (int64_t i = 0; i < x.size(); ++i) {
      Strided one = x.view();
      one.shape[0] = 1;
      one.data += i * 4;
      TestArray alone(Type::kFloat32, {1});
      Apply(op, one, alone.view(), pool);
      Check(alone.Get(0) == y.Get(i), "the function of an element alone");
    }
  }
}

void RowsAreGatheredByIds() {
  Random random(6);
  Pool pool(2);
  TestArray table = AnyArray(random, Type::kBFloat16, {19, 1100});
  TestArray ids = AnyArray(random, Type::kInt64, {2, 7});
  TestArray y = AnyArray(random, Type::kFloat32, {2, 7, 1100});
  table.FillNormal(random);
  ids.Fill([&] { return static_cast<double>(Between(random, 0, 18)); });
  Gather(table.view(), ids.view(), y.view(), pool);
  for (int64_t i = 0; i < y.size(); ++i) {
    const auto id = static_cast<int64_t>(ids.Get(i / 1100));
    Check(y.Get(i) == table.Get(id * 1100 + i % 1100), "an element of a row");
  }
  y.CheckSurroundings();
  for (const double wrong : {-1.0, 19.0}) {
    ids.Set(13, wrong);
    Expect<std::out_of_range>("from 0 to 18", [&] { Gather(table.view(), ids.view(), y.view(), pool); });
  }
}

void TokensArePickedByPosition() {
  Random random(7);
  Pool pool(2);
  TestArray x = AnyArray(random, Type::kFloat32, {3, 9, 33});
  TestArray positions = AnyArray(random, Type::kInt64, {3, 2});
  TestArray y = AnyArray(random, Type::kBFloat16, {3, 33});
  x.FillNormal(random);
  const double places[] = {2, 8, 0, 0, 1, 4};
  for (int64_t i = 0; i < 6; ++i) positions.Set(i, places[i]);
  PickTokens(x.view(), positions.view(), y.view(), pool);
  for (int64_t i = 0; i < y.size(); ++i) {
    const int64_t row = i / 33;
    const double picked =
        x.Get(static_cast<int64_t>(places[2 * row] * 9 + places[2 * row + 1]) * 33 + i % 33);
    Check(y.Get(i) == Rounded(Type::kBFloat16, picked), "an element of a token");
  }
  y.CheckSurroundings();
  positions.Set(1, 9);
  Expect<std::out_of_range>("a token", [&] { PickTokens(x.view(), positions.view(), y.view(), pool); });
}

void NothingIsDoneWithNoElements() {
  Pool pool(2);
  TestArray x(Type::kFloat32, {3, 0, 5});
  TestArray y(Type::kFloat32, {3, 0, 5});
  Copy(x.view(), y.view(), pool);
  Combine(Binary::kAdd, x.view(), x.view(), y.view(), pool);
  Apply(Unary::kSilu, x.view(), y.view(), pool);
  y.CheckSurroundings();
}

const AddTests added({DISTRI_TEST(CopiesConvertAndTransposeArraysOfAllStrides),
                      DISTRI_TEST(RoundingToBFloat16TakesTheEvenOfTwo), DISTRI_TEST(IntegersAreCopiedExactly),
                      DISTRI_TEST(OperandsOfSumsAndProductsAreRepeated),
                      DISTRI_TEST(SumsAreTakenInTheOrderOfTheFirstDimension),
                      DISTRI_TEST(FunctionsAreThoseOfDoublePrecision),
                      DISTRI_TEST(AFunctionDependsOnNothingButItsElement), DISTRI_TEST(RowsAreGatheredByIds),
                      DISTRI_TEST(TokensArePickedByPosition), DISTRI_TEST(NothingIsDoneWithNoElements)});

}  // namespace
}  // namespace distri::test
