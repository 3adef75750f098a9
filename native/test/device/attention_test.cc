#include "device/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "test/device/arrays.h"
#include "test/device/tests.h"

namespace distri::test {
namespace {

using device::Type;
using namespace device::cpu;

constexpr Type kFloatTypes[] = {Type::kFloat32, Type::kBFloat16};

struct Case {
  int64_t images = 1;
  int64_t heads = 1;
  int64_t head_size = 64;
  int64_t queries = 1;
  int64_t keys = 1;
  bool causal = false;
  // What of images, heads and queries a bias differs in; none without keys.
  bool bias_images = false;
  bool bias_heads = false;
  bool bias_queries = false;
  bool bias_keys = false;
  // Of queries, so that few keys have all of the weight.
  double spread = 1;
};

// Operands of a case, with keys and values whole and in parts.
struct Operands {
  Case c;
  TestArray query;
  TestArray key;
  TestArray value;
  TestArray bias;
  std::vector<TestArray> key_parts;
  std::vector<TestArray> value_parts;

  Operands(Random& random, Type type, const Case& of)
      : c(of),
        query(type, {c.images, c.queries, c.heads * c.head_size}, 3),
        key(type, {c.images, c.keys, c.heads * c.head_size}, 1),
        value(type, {c.images, c.keys, c.heads * c.head_size}, 2),
        bias(Type::kFloat32,
             {c.bias_images ? c.images : 1, c.bias_heads ? c.heads : 1, c.bias_queries ? c.queries : 1,
              c.keys},
             1) {
    query.FillNormal(random, c.spread);
    key.FillNormal(random);
    value.FillNormal(random);
    // A third is not to be seen.
    std::normal_distribution<double> normal;
    bias.Fill([&] { return Between(random, 0, 2) == 0 ? -INFINITY : normal(random); });
    for (int64_t i = 0; i < bias.size(); i += c.keys) bias.Set(i, 0.5);
    for (int64_t begin = 0; begin < c.keys;) {
      const int64_t count = Between(random, 0, std::min<int64_t>(c.keys - begin, 150));
      key_parts.push_back(Part(key, begin, count));
      value_parts.push_back(Part(value, begin, count));
      begin += count;
    }
  }

  static TestArray Part(const TestArray& whole, int64_t begin, int64_t count) {
    const auto& shape = whole.view().shape;
    TestArray part(whole.view().type, {shape[0], count, shape[2]}, 3);
    for (int64_t i = 0; i < part.size(); ++i) {
      const int64_t row = i / shape[2];
      part.Set(i, whole.Get((row / count * shape[1] + begin + row % count) * shape[2] + i % shape[2]));
    }
    return part;
  }
};

Tokens TokensOf(const TestArray& array) {
  const device::Strided& view = array.view();
  return {view.data, view.type, view.shape[1], view.strides[0], view.strides[1]};
}

std::vector<Tokens> TokensOf(const std::vector<TestArray>& arrays) {
  std::vector<Tokens> tokens;
  for (const TestArray& array : arrays) tokens.push_back(TokensOf(array));
  return tokens;
}

// Queries [first, first + count) with keys and values of these parts.
void Attend(const Operands& operands, const std::vector<Tokens>& keys, const std::vector<Tokens>& values,
            int64_t first, int64_t count, const TestArray& result, Pool& pool) {
  const Case& c = operands.c;
  Attention attention;
  attention.images = c.images;
  attention.heads = c.heads;
  attention.head_size = c.head_size;
  attention.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c.head_size)));
  attention.causal = c.causal;
  attention.query = TokensOf(operands.query);
  attention.result = TokensOf(result);
  for (Tokens* tokens : {&attention.query, &attention.result}) {
    const int64_t bytes =
        first * tokens->token_stride * static_cast<int64_t>(device::ItemBytes(tokens->type));
    tokens->data += bytes;
    tokens->tokens = count;
  }
  attention.keys = keys.data();
  attention.values = values.data();
  attention.parts = static_cast<int>(keys.size());
  if (c.bias_keys) {
    attention.bias = operands.bias.view();
    for (size_t d = 0; d < 3; ++d) {
      if (attention.bias.shape[d] == 1) attention.bias.strides[d] = 0;
    }
    attention.bias.data += first * attention.bias.strides[2] * static_cast<int64_t>(sizeof(float));
  }
  const size_t bytes = (WorkBytes(attention, pool) + 63) / 64 * 64;
  // What is read before it is written shows.
  const std::unique_ptr<std::byte, decltype(&std::free)> work(
      static_cast<std::byte*>(std::aligned_alloc(64, std::max<size_t>(bytes, 64))), &std::free);
  std::fill_n(work.get(), bytes, std::byte{0xff});
  Run(attention, work.get(), pool);
}

TestArray ResultOf(const Operands& operands) {
  const Case& c = operands.c;
  return {operands.query.view().type, {c.images, c.queries, c.heads * c.head_size}, 5};
}

void AttendWhole(const Operands& operands, const TestArray& result, Pool& pool) {
  Attend(operands, {TokensOf(operands.key)}, {TokensOf(operands.value)}, 0, operands.c.queries, result, pool);
}

double BiasOf(const Operands& operands, int64_t image, int64_t head, int64_t query, int64_t key) {
  const Case& c = operands.c;
  if (!c.bias_keys) return 0;
  int64_t place = c.bias_images ? image : 0;
  place = place * (c.bias_heads ? c.heads : 1) + (c.bias_heads ? head : 0);
  place = place * (c.bias_queries ? c.queries : 1) + (c.bias_queries ? query : 0);
  return operands.bias.Get(place * c.keys + key);
}

// The place of a head's first element in an array of tokens.
int64_t Place(const Case& c, int64_t tokens, int64_t image, int64_t token, int64_t head) {
  return ((image * tokens + token) * c.heads + head) * c.head_size;
}

std::vector<double> ExpectedOf(const Operands& operands, int64_t image, int64_t head, int64_t query) {
  const Case& c = operands.c;
  std::vector<double> scores(static_cast<size_t>(c.keys), -INFINITY);
  double largest = -INFINITY;
  for (int64_t key = 0; key < (c.causal ? std::min(c.keys, query + 1) : c.keys); ++key) {
    double score = 0;
    for (int64_t d = 0; d < c.head_size; ++d) {
      score += operands.query.Get(Place(c, c.queries, image, query, head) + d) *
               operands.key.Get(Place(c, c.keys, image, key, head) + d);
    }
    score = score / std::sqrt(static_cast<double>(c.head_size)) + BiasOf(operands, image, head, query, key);
    scores[static_cast<size_t>(key)] = score;
    largest = std::max(largest, score);
  }
  std::vector<double> result(static_cast<size_t>(c.head_size));
  double sum = 0;
  for (int64_t key = 0; key < c.keys; ++key) {
    const double weight = std::exp(scores[static_cast<size_t>(key)] - largest);
    sum += weight;
    for (int64_t d = 0; d < c.head_size && weight > 0; ++d) {
      result[static_cast<size_t>(d)] += weight * operands.value.Get(Place(c, c.keys, image, key, head) + d);
    }
  }
  for (double& element : result) element /= sum;
  return result;
}

void CheckResult(Random& random, const Operands& operands, const TestArray& result) {
  const Case& c = operands.c;
  const Type type = result.view().type;
  const double absolute = type == Type::kBFloat16 ? 8e-3 : 4e-6 * c.spread;
  for (int sample = 0; sample < 12; ++sample) {
    const int64_t image = Between(random, 0, c.images - 1);
    const int64_t head = Between(random, 0, c.heads - 1);
    const int64_t query = sample == 0 ? c.queries - 1 : Between(random, 0, c.queries - 1);
    const std::vector<double> expected = ExpectedOf(operands, image, head, query);
    for (int64_t d = 0; d < c.head_size; ++d) {
      CheckClose(result.Get(Place(c, c.queries, image, query, head) + d), expected[static_cast<size_t>(d)],
                 type, absolute, 1e-5, "an element of attention");
    }
  }
  result.CheckSurroundings();
}

Case AnyCase(Random& random) {
  const int64_t sizes[] = {1, 7, 32, 40, 64, 72, 80, 96, 128, 160};
  Case c;
  c.images = Between(random, 1, 3);
  c.heads = Between(random, 1, 3);
  c.head_size = sizes[Between(random, 0, 9)];
  c.queries = Between(random, 1, 150);
  c.keys = Between(random, 1, 400);
  c.causal = Between(random, 0, 3) == 0;
  c.bias_keys = Between(random, 0, 2) == 0;
  c.bias_images = Between(random, 0, 1) == 0;
  c.bias_heads = Between(random, 0, 1) == 0;
  c.bias_queries = Between(random, 0, 1) == 0;
  c.spread = Between(random, 0, 3) == 0 ? 8 : 1;
  return c;
}

const Case kCases[] = {
    {2, 2, 64, 64, 256},
    {1, 3, 72, 65, 1000},
    {8, 1, 32, 3, 77},
    {1, 1, 160, 1, 1},
    {1, 2, 64, 130, 77, true},
    {2, 4, 72, 33, 129, false, true, false, false, true},
    {2, 2, 64, 70, 96, false, false, true, true, true},
    {1, 1, 512, 32, 300},
    {1, 1, 33, 17, 97, true, true, true, true, true},
    // Most weights are smaller than the smallest normal numbers.
    {1, 2, 64, 33, 200, false, false, false, false, false, 60},
};

std::vector<Case> Cases(Random& random, int more) {
  std::vector<Case> cases(std::begin(kCases), std::end(kCases));
  for (int i = 0; i < more; ++i) cases.push_back(AnyCase(random));
  return cases;
}

void AttentionIsThatOfDoublePrecision() {
  Random random(1);
  Pool pool(2);
  for (const Type type : kFloatTypes) {
    for (const Case& c : Cases(random, 12)) {
      const Operands operands(random, type, c);
      const TestArray result = ResultOf(operands);
      AttendWhole(operands, result, pool);
      CheckResult(random, operands, result);
    }
  }
}

void AttentionDoesNotDependOnHowKeysAreDivided() {
  Random random(2);
  Pool pool(2);
  for (const Type type : kFloatTypes) {
    for (const Case& c : Cases(random, 5)) {
      const Operands operands(random, type, c);
      const TestArray whole = ResultOf(operands);
      const TestArray parts = ResultOf(operands);
      AttendWhole(operands, whole, pool);
      Attend(operands, TokensOf(operands.key_parts), TokensOf(operands.value_parts), 0, c.queries, parts,
             pool);
      Check(whole.SameBits(parts), "keys in parts");
    }
  }
}

void AttentionOfAQueryDoesNotDependOnTheOthers() {
  Random random(3);
  Pool one(1);
  Pool more(3);
  for (const Type type : kFloatTypes) {
    for (Case c : Cases(random, 5)) {
      // A query's place is counted from the first that is given.
      c.causal = false;
      const Operands operands(random, type, c);
      const TestArray together = ResultOf(operands);
      const TestArray apart = ResultOf(operands);
      AttendWhole(operands, together, more);
      for (int64_t first = 0; first < c.queries;) {
        const int64_t count = Between(random, 1, c.queries - first);
        Attend(operands, {TokensOf(operands.key)}, {TokensOf(operands.value)}, first, count, apart, one);
        first += count;
      }
      Check(together.SameBits(apart), "queries apart");
    }
  }
}

void NoQueriesAreAnswered() {
  Random random(4);
  Pool pool(2);
  for (const Type type : kFloatTypes) {
    const Operands operands(random, type, {2, 2, 64, 0, 33});
    const TestArray result = ResultOf(operands);
    AttendWhole(operands, result, pool);
    result.CheckSurroundings();
  }
}

const AddTests added({DISTRI_TEST(AttentionIsThatOfDoublePrecision),
                      DISTRI_TEST(AttentionDoesNotDependOnHowKeysAreDivided),
                      DISTRI_TEST(AttentionOfAQueryDoesNotDependOnTheOthers),
                      DISTRI_TEST(NoQueriesAreAnswered)});

}  // namespace
}  // namespace distri::test
