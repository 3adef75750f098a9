// GroupNorm, PatchGroupNorm and PatchGroupNormHalo.
#include <cmath>

#include "test/op_session.h"
#include "test/ops_tests.h"
#include "test/rows.h"

namespace distri::test {
namespace {

struct Norm {
  int64_t groups;
  float epsilon;
  int64_t activation;
};

struct Moments {
  double count = 0;
  double sum = 0;
  double squares = 0;

  double Mean() const { return sum / count; }
  double MeanSquare() const { return squares / count; }
  double Variance() const { return MeanSquare() - Mean() * Mean(); }
  void Add(const Moments& other) {
    count += other.count;
    sum += other.sum;
    squares += other.squares;
  }
};

// Of every group of every image.
std::vector<Moments> MomentsOf(const Tensor& x, int64_t groups) {
  std::vector<Moments> moments(static_cast<size_t>(x.shape[0] * groups));
  const size_t size = x.floats.size() / moments.size();
  for (size_t i = 0; i < x.floats.size(); ++i) {
    const double value = x.floats[i];
    moments[i / size].Add({1, value, value * value});
  }
  return moments;
}

struct Distribution {
  double mean;
  double variance;
};

std::vector<double> Normalized(const Tensor& x, const Tensor& scale, const Tensor& bias, const Norm& norm,
                               const std::vector<Distribution>& distributions) {
  const auto channels = static_cast<size_t>(x.shape[1]);
  const size_t channel_size = x.floats.size() / (static_cast<size_t>(x.shape[0]) * channels);
  const size_t group_size = x.floats.size() / distributions.size();
  std::vector<double> y;
  for (size_t i = 0; i < x.floats.size(); ++i) {
    const auto [mean, variance] = distributions[i / group_size];
    const size_t channel = i / channel_size % channels;
    double value = (x.floats[i] - mean) / std::sqrt(variance + norm.epsilon);
    value = value * scale.floats[channel] + bias.floats[channel];
    y.push_back(norm.activation == 1 ? value / (1 + std::exp(-value)) : value);
  }
  return y;
}

std::vector<Distribution> Own(const std::vector<Moments>& moments) {
  std::vector<Distribution> result;
  for (const Moments& group : moments) result.push_back({group.Mean(), group.Variance()});
  return result;
}

Norm RandomNorm(Fuzz& fuzz) { return {fuzz.Int(1, 4), 1e-3f, fuzz.Int(0, 1)}; }

Attributes AttributesOf(const Norm& norm) {
  return {{"groups", norm.groups}, {"epsilon", norm.epsilon}, {"activation", norm.activation}};
}

void GroupNormIsThatOfDoubles() {
  Fuzz fuzz(1);
  for (int round = 0; round < 60; ++round) {
    const Norm norm = RandomNorm(fuzz);
    const int64_t channels = norm.groups * fuzz.Int(1, 5);
    Shape shape{fuzz.Int(1, 3), channels};
    for (int64_t dims = fuzz.Int(1, 2); dims > 0; --dims) shape.push_back(fuzz.Int(1, 19));
    Attributes attributes = AttributesOf(norm);
    attributes.emplace_back("float_sums", fuzz.Int(0, 1));
    OpSession session({"GroupNorm", attributes, {shape, {channels}, {channels}}, shape},
                      Threads(static_cast<int>(fuzz.Int(1, 3))));
    const Tensor x = fuzz.Floats(shape, 2, 1);
    const Tensor scale = fuzz.Floats({channels});
    const Tensor bias = fuzz.Floats({channels});
    const Tensor y = session.Run({x, scale, bias});
    CheckClose(y, Normalized(x, scale, bias, norm, Own(MomentsOf(x, norm.groups))), 2e-5, "GroupNorm");
  }
}

// What PatchGroupNorm uses on one rank, of the moments of all ranks at the tick that is read and at this one.
std::vector<Distribution> Used(int64_t statistics, bool synchronous, size_t rank,
                               const std::vector<std::vector<Moments>>& before,
                               const std::vector<std::vector<Moments>>& now) {
  std::vector<Distribution> result;
  for (size_t group = 0; group < now[0].size(); ++group) {
    Moments fresh, read, mixed;
    for (size_t peer = 0; peer < now.size(); ++peer) {
      fresh.Add(now[peer][group]);
      read.Add(before[peer][group]);
      mixed.Add(peer == rank ? now[peer][group] : before[peer][group]);
    }
    const Moments& own = now[rank][group];
    const Moments& old = before[rank][group];
    if (statistics == 0 || synchronous) {
      result.push_back({fresh.Mean(), fresh.Variance()});
    } else if (statistics == 1) {
      result.push_back({mixed.Mean(), mixed.Variance()});
    } else if (statistics == 2) {
      const double mean = read.Mean() + own.Mean() - old.Mean();
      const double variance = read.MeanSquare() + own.MeanSquare() - old.MeanSquare() - mean * mean;
      result.push_back({mean, variance < 0 ? own.Variance() : variance});
    } else {
      result.push_back({own.Mean(), own.Variance()});
    }
  }
  return result;
}

void CheckPatchNorm(Fuzz& fuzz, int64_t statistics, bool with_halo) {
  const int64_t ranks = fuzz.Int(1, 3);
  const Norm norm = RandomNorm(fuzz);
  const int64_t channels = norm.groups * fuzz.Int(1, 3);
  const int64_t batch = fuzz.Int(1, 3);
  const int64_t width = fuzz.Int(1, 9);
  const Bands bands(fuzz, ranks);
  const bool fresh_halo = fuzz.Coin();
  const Tensor scale = fuzz.Floats({channels});
  const Tensor bias = fuzz.Floats({channels});
  std::vector<int64_t> peers;
  std::vector<Operator> operators;
  for (int64_t rank = 0; rank < ranks; ++rank) peers.push_back(rank);
  for (int64_t rank = 0; rank < ranks; ++rank) {
    const Shape band{batch, channels, bands.Rows(rank), width};
    Attributes attributes = AttributesOf(norm);
    attributes.insert(attributes.end(),
                      {{"slot", int64_t{0}}, {"peers", peers}, {"index", rank}, {"statistics", statistics}});
    Shape output = band;
    if (with_halo) {
      output[2] += 2;
      attributes.insert(attributes.end(), {{"halo_slot", int64_t{1}},
                                           {"above", rank - 1},
                                           {"below", rank + 1 < ranks ? rank + 1 : -1},
                                           {"fresh", int64_t{fresh_halo}}});
    }
    operators.push_back({with_halo ? "PatchGroupNormHalo" : "PatchGroupNorm",
                         attributes,
                         {band, {channels}, {channels}},
                         output});
  }
  const auto count = static_cast<size_t>(ranks);
  const SlotBytes slots = {std::vector<uint64_t>(count, static_cast<uint64_t>(24 * batch * norm.groups)),
                           std::vector<uint64_t>(count, static_cast<uint64_t>(8 * batch * channels * width))};
  const std::vector<Step> steps = {Synchronous(0), Stale(1), Synchronous(2), Frozen(3, 2)};
  std::vector<Tensor> images;
  std::vector<std::vector<Inputs>> inputs;
  std::vector<std::vector<std::vector<Moments>>> moments;
  for (size_t step = 0; step < steps.size(); ++step) {
    images.push_back(fuzz.Floats({batch, channels, bands.total(), width}, 2, static_cast<float>(step)));
    inputs.emplace_back();
    moments.emplace_back();
    for (int64_t rank = 0; rank < ranks; ++rank) {
      inputs.back().push_back({bands.Of(images.back(), rank), scale, bias});
      moments.back().push_back(MomentsOf(inputs.back().back()[0], norm.groups));
    }
  }
  const auto results = RunOnRanks(operators, slots, steps, inputs, static_cast<int>(fuzz.Int(1, 2)));
  for (size_t step = 0; step < steps.size(); ++step) {
    const auto read = static_cast<size_t>(steps[step].read_tick);
    const bool synchronous = read == step;
    std::vector<std::vector<double>> normalized;
    for (size_t rank = 0; rank < count; ++rank) {
      normalized.push_back(Normalized(inputs[step][rank][0], scale, bias, norm,
                                      Used(statistics, synchronous, rank, moments[read], moments[step])));
    }
    for (int64_t rank = 0; rank < ranks; ++rank) {
      const auto index = static_cast<size_t>(rank);
      const Tensor& y = results[step][index];
      if (!with_halo) {
        CheckClose(y, normalized[index], 5e-5, "PatchGroupNorm");
        continue;
      }
      CheckClose(Inside(y), normalized[index], 5e-5, "PatchGroupNormHalo");
      std::vector<Tensor> neighbours;
      for (const Tensor& result : results[fresh_halo ? step : read]) neighbours.push_back(Inside(result));
      CheckHalo(y, rank, neighbours);
    }
  }
}

void PatchGroupNormIsThatOfDoubles() {
  Fuzz fuzz(2);
  for (int round = 0; round < 8; ++round) {
    for (int64_t statistics = 0; statistics < 4; ++statistics) CheckPatchNorm(fuzz, statistics, false);
  }
}

void PatchGroupNormHaloHasTheNeighboursRows() {
  Fuzz fuzz(3);
  for (int round = 0; round < 6; ++round) {
    for (int64_t statistics = 0; statistics < 4; ++statistics) CheckPatchNorm(fuzz, statistics, true);
  }
}

void NormsRefuseWhatDoesNotFit() {
  const Attributes attributes = {
      {"groups", int64_t{2}}, {"epsilon", 1e-3f}, {"activation", int64_t{0}}, {"float_sums", int64_t{0}}};
  OpSession uneven({"GroupNorm", attributes, {{1, 3, 2}, {3}, {3}}, {1, 3, 2}});
  Fuzz fuzz(4);
  Expect<NativeError>("can't be split into 2 groups", [&] {
    uneven.Run({fuzz.Floats({1, 3, 2}), fuzz.Floats({3}), fuzz.Floats({3})});
  });
  OpSession short_scale({"GroupNorm", attributes, {{1, 4, 2}, {3}, {4}}, {1, 4, 2}});
  Expect<NativeError>("scale and bias need 4 elements", [&] {
    short_scale.Run({fuzz.Floats({1, 4, 2}), fuzz.Floats({3}), fuzz.Floats({4})});
  });
  Expect<NativeError>("groups is 0", [&] {
    OpSession(
        {"GroupNorm",
         {{"groups", int64_t{0}}, {"epsilon", 1e-3f}, {"activation", int64_t{0}}, {"float_sums", int64_t{0}}},
         {{1, 4, 2}, {4}, {4}},
         {1, 4, 2}});
  });
}

}  // namespace

std::vector<Test> NormTests() {
  return {DISTRI_TEST(GroupNormIsThatOfDoubles), DISTRI_TEST(PatchGroupNormIsThatOfDoubles),
          DISTRI_TEST(PatchGroupNormHaloHasTheNeighboursRows), DISTRI_TEST(NormsRefuseWhatDoesNotFit)};
}

}  // namespace distri::test
