#include <cmath>

#include "device/cpu/elementwise.h"
#include "test/device/arrays.h"
#include "test/device/tests.h"

namespace distri::test {
namespace {

using device::Type;
using namespace device::cpu;

struct Case {
  int64_t batch;
  int64_t tokens;
  int64_t heads;
  int64_t pairs;
};

constexpr Case kCases[] = {{1, 1, 1, 1}, {2, 5, 3, 8}, {1, 3, 2, 37}, {2, 2, 1, 700}};

void PairsOfNeighboursAreRotatedByTheAnglesOfTheirToken() {
  Random random(21);
  Pool pool(2);
  for (const Type type : {Type::kFloat32, Type::kBFloat16}) {
    for (const Case& c : kCases) {
      TestArray x(type, {c.batch, c.tokens, 2 * c.heads * c.pairs}, 2);
      TestArray y(type, {c.batch, c.tokens, 2 * c.heads * c.pairs}, 1);
      TestArray cosines(Type::kFloat32, {c.tokens, c.pairs});
      TestArray sines(Type::kFloat32, {c.tokens, c.pairs});
      x.FillNormal(random);
      for (int64_t i = 0; i < cosines.size(); ++i) {
        const double angle = static_cast<double>(Between(random, -3000, 3000)) / 700;
        cosines.Set(i, std::cos(angle));
        sines.Set(i, std::sin(angle));
      }
      Rotate(x.view(), cosines.view(), sines.view(), y.view(), pool);
      for (int64_t i = 0; i < x.size(); i += 2) {
        const int64_t feature = i % (2 * c.heads * c.pairs);
        const int64_t token = i / (2 * c.heads * c.pairs) % c.tokens;
        const int64_t angle = token * c.pairs + feature / 2 % c.pairs;
        const double cosine = cosines.Get(angle);
        const double sine = sines.Get(angle);
        CheckClose(y.Get(i), x.Get(i) * cosine - x.Get(i + 1) * sine, type, 1e-6, 1e-6,
                   "the first of a pair");
        CheckClose(y.Get(i + 1), x.Get(i + 1) * cosine + x.Get(i) * sine, type, 1e-6, 1e-6,
                   "the second of a pair");
      }
      y.CheckSurroundings();
    }
  }
}

const AddTests added({DISTRI_TEST(PairsOfNeighboursAreRotatedByTheAnglesOfTheirToken)});

}  // namespace
}  // namespace distri::test
