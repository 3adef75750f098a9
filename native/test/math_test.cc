// Measures the functions of ops/math.h, as the vectorised loops compute them, against double precision.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include "ops/linear_block.h"
#include "ops/loops.h"

namespace {

using Function = double (*)(double);

double ExactSilu(double x) { return x / (1 + std::exp(-x)); }
double ExactGelu(double x) { return x * 0.5 * std::erfc(-x * std::sqrt(0.5)); }

void Check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::exit(1);
}

std::vector<float> Ramp(float from, float to, size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = from + (to - from) * static_cast<float>(i) / (count - 1);
  return values;
}

// Largest relative error of `actual`, ignoring results that float32 can't hold to full precision.
double RelativeError(const std::vector<float>& x, const std::vector<float>& actual, Function exact) {
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = exact(x[i]);
    if (std::abs(expected) < std::numeric_limits<float>::min()) continue;
    worst = std::fmax(worst, std::abs(actual[i] - expected) / std::abs(expected));
  }
  return worst;
}

void SiluIsExactToAFewUlps() {
  const std::vector<float> x = Ramp(-80.0f, 100.0f, 1000003);
  std::vector<float> y(x.size());
  distri::ops::AffineSilu(x.data(), y.data(), x.size(), 1.0f, 0.0f);
  const double error = RelativeError(x, y, ExactSilu);
  std::printf("silu: largest relative error %.2g\n", error);
  Check(error < 4e-7, "SiLU is exact to a few ulps");
}

// 1 * gelu(x): tokens of one element, a value that is only a bias and a gate that is only the element.
std::vector<float> GeluOf(const std::vector<float>& x) {
  const float weight[] = {0.0f, 1.0f};
  const float bias[] = {1.0f, 0.0f};
  std::vector<float> y(x.size());
  const auto activation = distri::ops::LinearActivation::kGeglu;
  distri::ops::LinearPanel({x.data(), weight, nullptr, bias, nullptr, y.data(), 1, 2, activation}, 0, 0,
                           x.size());
  return y;
}

void GeluIsExactToAFewUlps(float from, float to, double limit) {
  const std::vector<float> gate = Ramp(from, to, 1000003);
  const double error = RelativeError(gate, GeluOf(gate), ExactGelu);
  std::printf("gelu on [%g, %g]: largest relative error %.2g\n", from, to, error);
  Check(error < limit, "GELU is exact to a few ulps, in its tail as well");
}

void ExtremeValuesStayFiniteAndNotANumberStays() {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {-1e30f, 1e30f, std::nanf(""), infinity};
  std::vector<float> silu(x.size());
  distri::ops::AffineSilu(x.data(), silu.data(), x.size(), 1.0f, 0.0f);
  // Without infinity: 0 * infinity in a product is not a number.
  for (const std::vector<float>& y : {silu, GeluOf({x.begin(), x.end() - 1})}) {
    Check(std::abs(y[0]) < 1e-6f, "a large negative value becomes zero");
    Check(y[1] == 1e30f, "a large value stays");
    Check(std::isnan(y[2]), "NaN stays");
  }
  Check(silu[3] == infinity, "infinity stays");
}

void MomentsDoNotCancel() {
  const size_t count = 100001;
  std::vector<float> x(count);
  for (size_t i = 0; i < count; ++i) x[i] = 4096.0f + static_cast<float>(i % 2);
  const distri::ops::Moments moments = distri::ops::SumMoments(x.data(), count);
  const double mean = moments.sum / count;
  const double variance = moments.squares / count - mean * mean;
  Check(std::abs(variance - 0.25) < 1e-6, "the variance of values far from zero is exact");
}

}  // namespace

int main() {
  SiluIsExactToAFewUlps();
  // Nine roundings of at most 6e-8 each lie between x and the tail: two in t, two in p, one each in p * t,
  // the argument of exp, exp's sum, its product and x * tail.
  GeluIsExactToAFewUlps(-12.0f, 20.0f, 9 * 6e-8);
  ExtremeValuesStayFiniteAndNotANumberStays();
  MomentsDoNotCancel();
  std::puts("ok");
}
