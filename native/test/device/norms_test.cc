#include "device/cpu/norms.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "test/device/arrays.h"
#include "test/device/tests.h"

namespace distri::test {
namespace {

using device::Type;
using namespace device::cpu;

constexpr Type kFloatTypes[] = {Type::kFloat32, Type::kBFloat16};

// Rows [first, first + rows) of an array [images, rows, columns, channels].
Image ImageOf(const TestArray& array, int64_t first, int64_t rows) {
  const device::Strided& view = array.view();
  Image image{view.data,     view.type,       view.shape[0],   rows,           view.shape[2],
              view.shape[3], view.strides[0], view.strides[1], view.strides[2]};
  image.data += static_cast<size_t>(first * view.strides[1]) * device::ItemBytes(view.type);
  return image;
}

Image ImageOf(const TestArray& array) { return ImageOf(array, 0, array.view().shape[1]); }

struct Shape {
  int64_t images;
  int64_t rows;
  int64_t columns;
  int64_t channels;
  int64_t groups;
};

constexpr Shape kShapes[] = {{1, 1, 1, 1, 1},   {2, 3, 5, 12, 3},    {1, 4, 9, 40, 4},    {8, 2, 1, 32, 32},
                             {2, 5, 7, 33, 11}, {1, 2, 6, 1030, 10}, {3, 1, 13, 320, 32}, {1, 7, 4, 27, 9}};

TestArray Pictures(Random& random, Type type, const Shape& shape, int64_t padding) {
  TestArray x(type, {shape.images, shape.rows, shape.columns, shape.channels}, padding);
  // Groups differ in mean and spread, and rows in mean.
  std::normal_distribution<double> normal;
  for (int64_t i = 0; i < x.size(); ++i) {
    const int64_t group = i % shape.channels * shape.groups / shape.channels;
    const int64_t row = i / shape.channels / shape.columns;
    x.Set(i, normal(random) * static_cast<double>(1 + group % 3) + static_cast<double>(row % 5 - group % 7));
  }
  return x;
}

std::vector<Sums> SumsOf(const Image& image, int64_t groups, Pool& pool) {
  std::vector<Sums> sums(static_cast<size_t>(image.images * image.rows * groups));
  SumRows(image, groups, sums.data(), pool);
  return sums;
}

bool Same(const Sums& a, const Sums& b) { return a.sum == b.sum && a.squares == b.squares; }

void SumsOfRowsAndGroupsAreThoseOfDoublePrecision() {
  Random random(1);
  Pool pool(2);
  for (const Type type : kFloatTypes) {
    for (const Shape& shape : kShapes) {
      const TestArray x = Pictures(random, type, shape, 3);
      const std::vector<Sums> sums = SumsOf(ImageOf(x), shape.groups, pool);
      std::vector<Sums> expected(sums.size(), Sums{0, 0});
      for (int64_t i = 0; i < x.size(); ++i) {
        const int64_t group = i % shape.channels * shape.groups / shape.channels;
        Sums& sum = expected[static_cast<size_t>(i / shape.channels / shape.columns * shape.groups + group)];
        sum.sum += x.Get(i);
        sum.squares += x.Get(i) * x.Get(i);
      }
      for (size_t i = 0; i < sums.size(); ++i) {
        CheckClose(sums[i].sum, expected[i].sum, Type::kInt64, 1e-10, 1e-12, "a sum");
        CheckClose(sums[i].squares, expected[i].squares, Type::kInt64, 1e-10, 1e-12, "a sum of squares");
      }
    }
  }
}

void SumsOfARowDependOnNothingButTheRow() {
  Random random(2);
  Pool one(1);
  Pool more(3);
  for (const Type type : kFloatTypes) {
    for (const Shape& shape : kShapes) {
      const TestArray x = Pictures(random, type, shape, 2);
      TestArray y(type, {shape.images, shape.rows, shape.columns, shape.channels});
      for (int64_t i = 0; i < x.size(); ++i) y.Set(i, x.Get(i));
      const std::vector<Sums> sums = SumsOf(ImageOf(x), shape.groups, one);
      for (int64_t row = 0; row < shape.rows; ++row) {
        const std::vector<Sums> alone = SumsOf(ImageOf(y, row, 1), shape.groups, more);
        for (int64_t i = 0; i < shape.images * shape.groups; ++i) {
          const int64_t place = (i / shape.groups * shape.rows + row) * shape.groups + i % shape.groups;
          Check(Same(alone[static_cast<size_t>(i)], sums[static_cast<size_t>(place)]), "sums of a row alone");
        }
      }
    }
  }
}

struct GroupOperands {
  std::vector<Moments> moments;
  std::vector<float> scale;
  std::vector<float> shift;

  GroupOperands(Random& random, const Shape& shape) {
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < shape.images * shape.groups; ++i) {
      moments.push_back({normal(random), 0.1f + std::abs(normal(random))});
    }
    for (int64_t i = 0; i < shape.channels; ++i) {
      scale.push_back(normal(random));
      shift.push_back(normal(random));
    }
  }
};

void Normalize(const Image& x, const Image& y, const Shape& shape, const GroupOperands& operands, bool silu,
               Pool& pool) {
  NormalizeGroups(x, y, shape.groups, operands.moments.data(), 1e-5f, operands.scale.data(),
                  operands.shift.data(), silu, pool);
}

void GroupsAreNormalized() {
  Random random(3);
  Pool pool(2);
  for (const Type type : kFloatTypes) {
    for (const Shape& shape : kShapes) {
      const TestArray x = Pictures(random, type, shape, 3);
      const GroupOperands operands(random, shape);
      for (const bool silu : {false, true}) {
        TestArray y(type, {shape.images, shape.rows, shape.columns, shape.channels}, 2);
        Normalize(ImageOf(x), ImageOf(y), shape, operands, silu, pool);
        for (int64_t i = 0; i < x.size(); ++i) {
          const int64_t c = i % shape.channels;
          const int64_t image = i / shape.channels / shape.columns / shape.rows;
          const auto channel = static_cast<size_t>(c);
          const Moments& moments =
              operands.moments[static_cast<size_t>(image * shape.groups + c * shape.groups / shape.channels)];
          double expected = (x.Get(i) - moments.mean) / std::sqrt(moments.variance + 1e-5);
          expected = expected * operands.scale[channel] + operands.shift[channel];
          if (silu) expected = expected / (1 + std::exp(-expected));
          CheckClose(y.Get(i), expected, type, 2e-5, 4e-6, "a normalised element");
        }
        y.CheckSurroundings();
      }
    }
  }
}

void ANormalizedRowDependsOnNothingButItself() {
  Random random(4);
  Pool one(1);
  Pool more(3);
  for (const Type type : kFloatTypes) {
    for (const Shape& shape : kShapes) {
      TestArray x = Pictures(random, type, shape, 1);
      const GroupOperands operands(random, shape);
      TestArray y(type, {shape.images, shape.rows, shape.columns, shape.channels});
      Normalize(ImageOf(x), ImageOf(y), shape, operands, true, one);
      for (int64_t row = 0; row < shape.rows; ++row) {
        Normalize(ImageOf(x, row, 1), ImageOf(x, row, 1), shape, operands, true, more);
      }
      Check(x.SameBits(y), "rows alone and in place");
    }
  }
}

struct LayerOperands {
  TestArray scale;
  TestArray shift;
  TestArray image_scale;
  TestArray image_shift;

  LayerOperands(Random& random, int64_t images, int64_t features)
      : scale(Type::kFloat32, {features}),
        shift(Type::kFloat32, {features}),
        image_scale(Type::kFloat32, {images, features}, 3),
        image_shift(Type::kFloat32, {images, features}, 4) {
    for (TestArray* array : {&scale, &shift, &image_scale, &image_shift}) array->FillNormal(random);
  }
};

struct LayerCase {
  int64_t images;
  int64_t rows_per_image;
  int64_t features;
  bool affine;
  bool modulated;
  bool root_mean_square;
};

FeatureRows RowsOf(const TestArray& array) {
  const device::Strided& view = array.view();
  return {view.data, view.type, view.shape[0], view.shape[1], view.strides[0]};
}

LayerNorm NormOf(const LayerCase& c, const LayerOperands& operands, const TestArray& x, const TestArray& y) {
  LayerNorm norm;
  norm.x = RowsOf(x);
  norm.y = RowsOf(y);
  norm.epsilon = 1e-5f;
  norm.root_mean_square = c.root_mean_square;
  norm.rows_per_image = c.rows_per_image;
  if (c.affine) {
    norm.scale = operands.scale.view().as<float>();
    if (!c.root_mean_square) norm.shift = operands.shift.view().as<float>();
  }
  if (c.modulated) {
    norm.image_scale = operands.image_scale.view().as<float>();
    norm.image_scale_stride = operands.image_scale.view().strides[0];
    norm.image_shift = operands.image_shift.view().as<float>();
    norm.image_shift_stride = operands.image_shift.view().strides[0];
  }
  return norm;
}

double ExpectedFeature(const LayerCase& c, const LayerOperands& operands, const TestArray& x, int64_t row,
                       int64_t feature) {
  double sum = 0;
  double squares = 0;
  for (int64_t i = 0; i < c.features; ++i) sum += x.Get(row * c.features + i);
  const double mean = c.root_mean_square ? 0 : sum / static_cast<double>(c.features);
  for (int64_t i = 0; i < c.features; ++i) squares += std::pow(x.Get(row * c.features + i) - mean, 2);
  double y = (x.Get(row * c.features + feature) - mean) /
             std::sqrt(squares / static_cast<double>(c.features) + 1e-5);
  if (c.affine) y = y * operands.scale.Get(feature) + (c.root_mean_square ? 0 : operands.shift.Get(feature));
  if (!c.modulated) return y;
  const int64_t place = row / c.rows_per_image * c.features + feature;
  return y * (1 + operands.image_scale.Get(place)) + operands.image_shift.Get(place);
}

const LayerCase kLayers[] = {{1, 1, 1, true, false, false},    {2, 3, 37, true, false, false},
                             {2, 5, 64, false, true, false},   {1, 9, 129, true, true, false},
                             {3, 2, 640, true, false, true},   {8, 1, 72, false, false, true},
                             {1, 40, 1152, true, true, false}, {2, 4, 15, false, false, false}};

TestArray Tokens(Random& random, Type type, const LayerCase& c) {
  TestArray x(type, {c.images * c.rows_per_image, c.features}, 5);
  std::normal_distribution<double> normal(3, 2);
  x.Fill([&] { return normal(random); });
  return x;
}

void LayersAreNormalized() {
  Random random(5);
  Pool pool(2);
  for (const Type type : kFloatTypes) {
    for (const LayerCase& c : kLayers) {
      const TestArray x = Tokens(random, type, c);
      const LayerOperands operands(random, c.images, c.features);
      TestArray y(type, {c.images * c.rows_per_image, c.features}, 2);
      Run(NormOf(c, operands, x, y), pool);
      for (int64_t i = 0; i < x.size(); i += 1 + i % 97) {
        const double expected = ExpectedFeature(c, operands, x, i / c.features, i % c.features);
        CheckClose(y.Get(i), expected, type, 2e-5, 4e-6, "a normalised feature");
      }
      y.CheckSurroundings();
    }
  }
}

void ANormalizedTokenDependsOnNothingButItself() {
  Random random(6);
  Pool one(1);
  Pool more(3);
  for (const Type type : kFloatTypes) {
    for (const LayerCase& c : kLayers) {
      const TestArray x = Tokens(random, type, c);
      const LayerOperands operands(random, c.images, c.features);
      TestArray y(type, {c.images * c.rows_per_image, c.features});
      TestArray z(type, {c.images * c.rows_per_image, c.features}, 3);
      Run(NormOf(c, operands, x, y), more);
      for (int64_t row = 0; row < c.images * c.rows_per_image; ++row) {
        LayerNorm norm = NormOf(c, operands, x, z);
        const auto bytes = static_cast<int64_t>(device::ItemBytes(type));
        norm.x.data += row * norm.x.row_stride * bytes;
        norm.y.data += row * norm.y.row_stride * bytes;
        norm.x.rows = norm.y.rows = 1;
        if (c.modulated) {
          norm.image_scale += row / c.rows_per_image * norm.image_scale_stride;
          norm.image_shift += row / c.rows_per_image * norm.image_shift_stride;
        }
        Run(norm, one);
      }
      Check(z.SameBits(y), "tokens alone");
    }
  }
}

void SumsOfColumnsBecomeThoseOfGroups() {
  Random random(8);
  Pool pool(2);
  for (const Shape& shape : kShapes) {
    // Each column of the shape is a unit.
    const int64_t count = shape.images * shape.rows * shape.columns * 2 * shape.channels;
    std::normal_distribution<float> normal;
    std::vector<float> units;
    for (int64_t i = 0; i < count; ++i) units.push_back(normal(random));
    const int64_t unit = 2 * shape.channels;
    const ColumnSums columns{units.data(),  1, shape.columns, shape.rows, shape.rows * shape.columns * unit,
                             shape.columns * unit, unit};
    std::vector<Sums> sums(static_cast<size_t>(shape.images * shape.rows * shape.groups));
    SumRows(columns, shape.images, shape.channels, shape.groups, sums.data(), pool);
    std::vector<Sums> expected(sums.size(), Sums{0, 0});
    for (int64_t i = 0; i < count; ++i) {
      const int64_t channel = i % shape.channels;
      Sums& sum = expected[static_cast<size_t>(i / unit / shape.columns * shape.groups +
                                               channel * shape.groups / shape.channels)];
      (i % unit < shape.channels ? sum.sum : sum.squares) += units[static_cast<size_t>(i)];
    }
    for (size_t i = 0; i < sums.size(); ++i) {
      CheckClose(sums[i].sum, expected[i].sum, Type::kInt64, 1e-10, 1e-12, "a sum");
      CheckClose(sums[i].squares, expected[i].squares, Type::kInt64, 1e-10, 1e-12, "a sum of squares");
    }
  }
}

// In bfloat16 SiLU takes two at a time.
void ExtremesOfNormalizedElementsStayApart() {
  Pool pool(1);
  TestArray x(Type::kBFloat16, {1, 1, 1, 4});
  const float values[] = {-3000, 3000, 0, -90};
  for (int64_t i = 0; i < 4; ++i) x.Set(i, values[i]);
  const Moments moments{0, 1 - 1e-5};
  const float ones[] = {1, 1, 1, 1};
  const float zeros[] = {0, 0, 0, 0};
  TestArray y(Type::kBFloat16, {1, 1, 1, 4});
  NormalizeGroups(ImageOf(x), ImageOf(y), 1, &moments, 1e-5f, ones, zeros, true, pool);
  for (int64_t i = 0; i < 4; ++i)
    CheckClose(y.Get(i), std::max(values[i], 0.0f), Type::kBFloat16, 2e-5, 1e-12, "an extreme element");
}

void NothingIsNormalizedWithoutRows() {
  Pool pool(2);
  const Shape shape{2, 0, 5, 6, 3};
  const TestArray x(Type::kFloat32, {2, 0, 5, 6});
  SumRows(ImageOf(x), 3, nullptr, pool);
  Random random(7);
  const GroupOperands operands(random, shape);
  Normalize(ImageOf(x), ImageOf(x), shape, operands, true, pool);
  const TestArray tokens(Type::kBFloat16, {0, 8});
  const LayerOperands layer(random, 1, 8);
  Run(NormOf({0, 1, 8, true, false, false}, layer, tokens, tokens), pool);
}

const AddTests added({DISTRI_TEST(SumsOfRowsAndGroupsAreThoseOfDoublePrecision),
                      DISTRI_TEST(SumsOfARowDependOnNothingButTheRow), DISTRI_TEST(GroupsAreNormalized),
                      DISTRI_TEST(ANormalizedRowDependsOnNothingButItself), DISTRI_TEST(LayersAreNormalized),
                      DISTRI_TEST(ANormalizedTokenDependsOnNothingButItself),
                      DISTRI_TEST(SumsOfColumnsBecomeThoseOfGroups),
                      DISTRI_TEST(ExtremesOfNormalizedElementsStayApart),
                      DISTRI_TEST(NothingIsNormalizedWithoutRows)});

}  // namespace
}  // namespace distri::test
