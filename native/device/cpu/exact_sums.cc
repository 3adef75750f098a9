#include "device/cpu/exact_sums.h"

#include <cmath>
#include <limits>

namespace distri::device::cpu {
namespace {

// Sums up to 2^54 are held, in units of 2^-72: those of squares of 1e-10 are exact to a double's precision.
constexpr int kFraction = 72;
constexpr double kMost = 18014398509481984.0;

__int128 Whole(double number) { return static_cast<__int128>(std::ldexp(number, kFraction)); }

double Number(__int128 whole) { return std::ldexp(static_cast<double>(whole), -kFraction); }

}  // namespace

void ExactSums::Add(const Sums& row, int64_t elements) {
  count += elements;
  // Whatever is no number fails both comparisons.
  if (std::abs(row.sum) < kMost && row.squares < kMost) {
    sum += Whole(row.sum);
    squares += Whole(row.squares);
  } else {
    lost = std::numeric_limits<double>::quiet_NaN();
  }
}

void ExactSums::Add(const ExactSums& other) {
  sum += other.sum;
  squares += other.squares;
  count += other.count;
  lost += other.lost;
}

double ExactSums::Mean() const { return Number(sum) / static_cast<double>(count) + lost; }

double ExactSums::MeanSquare() const { return Number(squares) / static_cast<double>(count) + lost; }

}  // namespace distri::device::cpu
