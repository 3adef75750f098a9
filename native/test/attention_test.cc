// Attention, PatchAttention, CachedAttention and SequenceAttention.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "test/op_session.h"
#include "test/ops_tests.h"

namespace distri::test {
namespace {

// Tokens [first, first + count) of every image of x [B, T, C].
Tensor TokensOf(const Tensor& x, int64_t first, int64_t count) {
  Tensor part{{x.shape[0], count, x.shape[2]}, {}};
  for (int64_t image = 0; image < x.shape[0]; ++image) {
    const auto begin = x.floats.begin() + (image * x.shape[1] + first) * x.shape[2];
    part.floats.insert(part.floats.end(), begin, begin + count * x.shape[2]);
  }
  return part;
}

// The same with the tokens of `own` from `first` on in their place.
Tensor WithTokens(const Tensor& x, const Tensor& own, int64_t first) {
  Tensor mixed = x;
  for (int64_t image = 0; image < x.shape[0]; ++image) {
    const auto begin = own.floats.begin() + image * own.shape[1] * x.shape[2];
    std::copy(begin, begin + own.shape[1] * x.shape[2],
              mixed.floats.begin() + (image * x.shape[1] + first) * x.shape[2]);
  }
  return mixed;
}

// What is added to a score.
using BiasAt = std::function<double(int64_t image, int64_t head, int64_t query, int64_t token)>;

// softmax(scale * Q K^T + bias) V of each head, in doubles.
std::vector<double> Attend(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads, double scale,
                           const BiasAt& bias) {
  const int64_t batch = q.shape[0], queries = q.shape[1], channels = q.shape[2], tokens = k.shape[1];
  const int64_t width = channels / heads;
  const auto at = [&](const Tensor& x, int64_t image, int64_t token, int64_t channel) -> double {
    return x.floats[static_cast<size_t>((image * x.shape[1] + token) * channels + channel)];
  };
  std::vector<double> out(q.floats.size());
  std::vector<double> scores(static_cast<size_t>(tokens));
  for (int64_t image = 0; image < batch; ++image) {
    for (int64_t head = 0; head < heads; ++head) {
      for (int64_t query = 0; query < queries; ++query) {
        double largest = -1e300;
        for (int64_t token = 0; token < tokens; ++token) {
          double score = 0;
          for (int64_t d = head * width; d < (head + 1) * width; ++d) {
            score += at(q, image, query, d) * at(k, image, token, d);
          }
          scores[static_cast<size_t>(token)] = scale * score + bias(image, head, query, token);
          largest = std::max(largest, scores[static_cast<size_t>(token)]);
        }
        double total = 0;
        for (double& score : scores) total += score = std::exp(score - largest);
        for (int64_t d = head * width; d < (head + 1) * width; ++d) {
          double sum = 0;
          for (int64_t token = 0; token < tokens; ++token) {
            sum += scores[static_cast<size_t>(token)] * at(v, image, token, d);
          }
          out[static_cast<size_t>((image * queries + query) * channels + d)] = sum / total;
        }
      }
    }
  }
  return out;
}

// softmax(Q K^T / sqrt(width)) V of each head, in doubles.
std::vector<double> Attend(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads) {
  const double scale = 1 / std::sqrt(static_cast<double>(q.shape[2] / heads));
  return Attend(q, k, v, heads, scale, [](int64_t, int64_t, int64_t, int64_t) { return 0.0; });
}

constexpr double kTolerance = 1e-5;

int64_t RandomWidth(Fuzz& fuzz) {
  constexpr int64_t kWidths[] = {8, 16, 40, 64, 72, 80, 160};
  return fuzz.Coin() ? kWidths[fuzz.Int(0, 6)] : fuzz.Int(1, 40);
}

void AttentionIsThatOfDoubles() {
  Fuzz fuzz(30);
  for (int round = 0; round < 24; ++round) {
    const int64_t heads = fuzz.Int(1, 3);
    const int64_t channels = heads * RandomWidth(fuzz);
    const int64_t batch = fuzz.Int(1, 3);
    const Shape queries{batch, fuzz.Int(1, 140), channels};
    const Shape keys{batch, fuzz.Int(1, 140), channels};
    OpSession session({"Attention", {{"heads", heads}}, {queries, keys, keys}, queries},
                      Threads(static_cast<int>(fuzz.Int(1, 3))));
    const Tensor q = fuzz.Floats(queries), k = fuzz.Floats(keys), v = fuzz.Floats(keys);
    CheckClose(session.Run({q, k, v}), Attend(q, k, v, heads), kTolerance, "Attention");
  }
}

// A third of the tokens is hidden, by numbers as large as models use.
void BiasedAttentionIsThatOfDoubles() {
  Fuzz fuzz(36);
  for (int round = 0; round < 24; ++round) {
    const int64_t heads = fuzz.Int(1, 3);
    const int64_t channels = heads * RandomWidth(fuzz);
    const int64_t batch = fuzz.Int(1, 3);
    const Shape queries{batch, fuzz.Int(1, 140), channels};
    const Shape keys{batch, fuzz.Int(1, 220), channels};
    const Shape biases{fuzz.Coin() ? batch : 1, fuzz.Coin() ? heads : 1, fuzz.Coin() ? queries[1] : 1,
                       keys[1]};
    const float scale = fuzz.Coin() ? 1.0f : 0.25f;
    OpSession session(
        {"BiasedAttention", {{"heads", heads}, {"scale", scale}}, {queries, keys, keys, biases}, queries},
        Threads(static_cast<int>(fuzz.Int(1, 3))));
    const Tensor q = fuzz.Floats(queries), k = fuzz.Floats(keys), v = fuzz.Floats(keys);
    Tensor bias = fuzz.Floats(biases);
    for (size_t i = 0; i < bias.floats.size(); ++i) {
      // One is seen by every query.
      if (i % static_cast<size_t>(keys[1]) == 0 || fuzz.Int(0, 2) > 0) continue;
      bias.floats[i] = fuzz.Coin() ? -10000.0f : std::numeric_limits<float>::lowest();
    }
    const auto wanted =
        Attend(q, k, v, heads, scale, [&](int64_t image, int64_t head, int64_t query, int64_t token) {
          int64_t row = biases[0] == 1 ? 0 : image;
          row = row * biases[1] + (biases[1] == 1 ? 0 : head);
          row = row * biases[2] + (biases[2] == 1 ? 0 : query);
          return static_cast<double>(bias.floats[static_cast<size_t>(row * biases[3] + token)]);
        });
    CheckClose(session.Run({q, k, v, bias}), wanted, kTolerance, "BiasedAttention");
  }
}

// Tokens of an image, divided among ranks.
struct Parts {
  Parts(Fuzz& fuzz, int64_t ranks) : counts(fuzz.Ints(static_cast<size_t>(ranks), 1, 40)), firsts{0} {
    for (int64_t rank = 0; rank < ranks; ++rank) peers.push_back(rank);
    for (const int64_t count : counts) firsts.push_back(firsts.back() + count);
  }

  int64_t total() const { return firsts.back(); }
  Tensor Of(const Tensor& x, size_t rank) const { return TokensOf(x, firsts[rank], counts[rank]); }

  std::vector<int64_t> counts;
  std::vector<int64_t> firsts;
  std::vector<int64_t> peers;
};

// Queries, keys and values of a whole image.
struct Projections {
  Projections(Fuzz& fuzz, const Shape& shape)
      : q(fuzz.Floats(shape)), k(fuzz.Floats(shape)), v(fuzz.Floats(shape)) {}

  Inputs Of(const Parts& parts, size_t rank) const {
    return {parts.Of(q, rank), parts.Of(k, rank), parts.Of(v, rank)};
  }

  Tensor q, k, v;
};

void PatchAttentionAttendsToAllBands() {
  Fuzz fuzz(31);
  for (int round = 0; round < 12; ++round) {
    const auto ranks = static_cast<size_t>(fuzz.Int(1, 3));
    const int64_t heads = fuzz.Int(1, 3);
    const int64_t channels = heads * fuzz.Int(1, 24);
    const int64_t batch = fuzz.Int(1, 3);
    const bool fresh = fuzz.Coin();
    const Parts parts(fuzz, static_cast<int64_t>(ranks));
    std::vector<Operator> operators;
    SlotBytes slots(1);
    for (size_t rank = 0; rank < ranks; ++rank) {
      const Shape own{batch, parts.counts[rank], channels};
      operators.push_back({"PatchAttention",
                           {{"heads", heads},
                            {"slot", int64_t{0}},
                            {"peers", parts.peers},
                            {"index", static_cast<int64_t>(rank)},
                            {"tokens", parts.counts},
                            {"fresh", int64_t{fresh}}},
                           {own, own, own},
                           own});
      slots[0].push_back(static_cast<uint64_t>(8 * Count(own)));
    }
    const std::vector<Step> steps = {Synchronous(0), Stale(1), Stale(2), Frozen(3, 2)};
    std::vector<Projections> images;
    std::vector<std::vector<Inputs>> inputs;
    for (size_t step = 0; step < steps.size(); ++step) {
      images.emplace_back(fuzz, Shape{batch, parts.total(), channels});
      inputs.emplace_back();
      for (size_t rank = 0; rank < ranks; ++rank) inputs.back().push_back(images.back().Of(parts, rank));
    }
    const auto results = RunOnRanks(operators, slots, steps, inputs, static_cast<int>(fuzz.Int(1, 2)));
    for (size_t step = 0; step < steps.size(); ++step) {
      const Projections& others = images[fresh ? step : static_cast<size_t>(steps[step].read_tick)];
      for (size_t rank = 0; rank < ranks; ++rank) {
        const Inputs& own = inputs[step][rank];
        const Tensor k = WithTokens(others.k, own[1], parts.firsts[rank]);
        const Tensor v = WithTokens(others.v, own[2], parts.firsts[rank]);
        CheckClose(results[step][rank], Attend(own[0], k, v, heads), kTolerance, "PatchAttention");
      }
    }
  }
}

void SequenceAttentionIsExact() {
  Fuzz fuzz(32);
  struct Division {
    size_t ranks;
    int64_t ulysses;
  };
  for (const auto [ranks, ulysses] : {Division{1, 1}, {2, 1}, {2, 2}, {3, 1}, {3, 3}, {4, 2}}) {
    for (int round = 0; round < 3; ++round) {
      // Fewer heads than ranks leave some without.
      const int64_t heads = fuzz.Int(1, 4);
      const int64_t width = fuzz.Int(1, 20);
      const int64_t channels = heads * width;
      const int64_t batch = fuzz.Int(1, 2);
      const Parts parts(fuzz, static_cast<int64_t>(ranks));
      const auto heads_of = [&](int64_t member) {
        return heads / ulysses + (member < heads % ulysses ? 1 : 0);
      };
      std::vector<Operator> operators;
      SlotBytes slots(2);
      for (size_t rank = 0; rank < ranks; ++rank) {
        const Shape own{batch, parts.counts[rank], channels};
        operators.push_back({"SequenceAttention",
                             {{"heads", heads},
                              {"slot", int64_t{0}},
                              {"mixed_slot", int64_t{1}},
                              {"peers", parts.peers},
                              {"index", static_cast<int64_t>(rank)},
                              {"ulysses", ulysses},
                              {"tokens", parts.counts}},
                             {own, own, own},
                             own});
        const int64_t group = static_cast<int64_t>(rank) / ulysses * ulysses;
        const int64_t group_tokens =
            parts.firsts[static_cast<size_t>(group + ulysses)] - parts.firsts[static_cast<size_t>(group)];
        const int64_t mixed = heads_of(static_cast<int64_t>(rank) % ulysses) * width * group_tokens * batch;
        slots[0].push_back(static_cast<uint64_t>((ulysses > 1 ? 3 : 2) * 4 * Count(own)));
        slots[1].push_back(static_cast<uint64_t>(ulysses > 1 ? 4 * mixed : 0));
      }
      const std::vector<Step> steps = {Synchronous(0), Synchronous(1), Synchronous(2)};
      std::vector<Projections> images;
      std::vector<std::vector<Inputs>> inputs;
      for (size_t step = 0; step < steps.size(); ++step) {
        images.emplace_back(fuzz, Shape{batch, parts.total(), channels});
        inputs.emplace_back();
        for (size_t rank = 0; rank < ranks; ++rank) inputs.back().push_back(images.back().Of(parts, rank));
      }
      const auto results = RunOnRanks(operators, slots, steps, inputs, static_cast<int>(fuzz.Int(1, 2)));
      for (size_t step = 0; step < steps.size(); ++step) {
        for (size_t rank = 0; rank < ranks; ++rank) {
          const std::vector<double> wanted =
              Attend(inputs[step][rank][0], images[step].k, images[step].v, heads);
          CheckClose(results[step][rank], wanted, kTolerance, "SequenceAttention");
        }
      }
    }
  }
}

// Bands of an image that are brought one after another, each divided among the ranks.
void CachedAttentionKeepsWhatBandsBrought() {
  Fuzz fuzz(33);
  for (int round = 0; round < 9; ++round) {
    const auto ranks = static_cast<size_t>(1 + round % 3);
    const int64_t heads = fuzz.Int(1, 3);
    const int64_t channels = heads * fuzz.Int(1, 16);
    const int64_t batch = fuzz.Int(1, 3);
    const int64_t bands = fuzz.Int(1, 3);
    // Tokens of a rank's part of a band, the same in all bands.
    const Parts parts(fuzz, static_cast<int64_t>(ranks));
    const int64_t tokens = bands * parts.total();
    std::vector<Operator> operators;
    SlotBytes slots(1);
    for (size_t rank = 0; rank < ranks; ++rank) {
      const Shape own{batch, parts.counts[rank], channels};
      operators.push_back({"CachedAttention",
                           {{"heads", heads},
                            {"tokens", tokens},
                            {"slot", int64_t{0}},
                            {"peers", parts.peers},
                            {"index", static_cast<int64_t>(rank)}},
                           {own, own, own, {static_cast<int64_t>(1 + 2 * ranks)}},
                           own});
      slots[0].push_back(static_cast<uint64_t>(8 * Count(own)));
    }
    // Two images of two steps.
    std::vector<Step> steps;
    std::vector<std::vector<Inputs>> inputs;
    std::vector<std::vector<std::vector<double>>> wanted;
    for (int image = 0; image < 2; ++image) {
      const auto first_tick = static_cast<int64_t>(steps.size());
      Tensor keys{{batch, tokens, channels},
                  std::vector<float>(static_cast<size_t>(batch * tokens * channels))};
      Tensor values = keys;
      for (int64_t pass = 0; pass < 2 * bands; ++pass) {
        const int64_t first = pass % bands * parts.total();
        const Projections band(fuzz, {batch, parts.total(), channels});
        keys = WithTokens(keys, band.k, first);
        values = WithTokens(values, band.v, first);
        const int64_t there = pass < bands ? first + parts.total() : tokens;
        steps.push_back({pass, first_tick + pass, first_tick, true});
        inputs.emplace_back();
        wanted.emplace_back();
        Tensor place{{static_cast<int64_t>(1 + 2 * ranks)}, {0.0f}};
        for (size_t rank = 0; rank < ranks; ++rank) {
          place.floats.push_back(static_cast<float>(first + parts.firsts[rank]));
          place.floats.push_back(static_cast<float>(parts.counts[rank]));
        }
        for (size_t rank = 0; rank < ranks; ++rank) {
          Inputs own = band.Of(parts, rank);
          wanted.back().push_back(
              Attend(own[0], TokensOf(keys, 0, there), TokensOf(values, 0, there), heads));
          own.push_back(place);
          inputs.back().push_back(own);
        }
      }
    }
    const auto results = RunOnRanks(operators, slots, steps, inputs, static_cast<int>(fuzz.Int(1, 2)));
    for (size_t step = 0; step < steps.size(); ++step) {
      for (size_t rank = 0; rank < ranks; ++rank) {
        CheckClose(results[step][rank], wanted[step][rank], kTolerance, "CachedAttention");
      }
    }
  }
}

void CachedAttentionRefusesPlacesThatCanNotBe() {
  Fuzz fuzz(34);
  const Shape own{1, 2, 4};
  const Operator op{"CachedAttention",
                    {{"heads", int64_t{2}},
                     {"tokens", int64_t{6}},
                     {"slot", int64_t{0}},
                     {"peers", std::vector<int64_t>{0}},
                     {"index", int64_t{0}}},
                    {own, own, own, {3}},
                    own};
  OpSession session(op);
  const Projections band(fuzz, own);
  const auto run = [&](float first, float tokens) {
    session.Run({band.q, band.k, band.v, {{3}, {0.0f, first, tokens}}}, Synchronous(0));
  };
  const float nan = std::nanf("");
  for (const float wrong : {-1.0f, 0.5f, 1e30f, nan, -std::numeric_limits<float>::infinity()}) {
    Expect<NativeError>("no place", [&] { run(wrong, 2); });
    Expect<NativeError>("no place", [&] { run(0, wrong); });
  }
  Expect<NativeError>("are not there yet", [&] { run(2, 2); });
  run(0, 2);
}

void AttentionRefusesWhatDoesNotFit() {
  Fuzz fuzz(35);
  const auto attend = [&](const Shape& q, const Shape& k, int64_t heads) {
    OpSession session({"Attention", {{"heads", heads}}, {q, k, k}, q});
    session.Run({fuzz.Floats(q), fuzz.Floats(k), fuzz.Floats(k)});
  };
  Expect<NativeError>("a multiple of 3 heads", [&] { attend({1, 2, 4}, {1, 2, 4}, 3); });
  Expect<NativeError>("a multiple of 0 heads", [&] { attend({1, 2, 4}, {1, 2, 4}, 0); });
  Expect<NativeError>("do not fit queries", [&] { attend({1, 2, 4}, {2, 2, 4}, 2); });
  Expect<NativeError>("do not fit queries", [&] { attend({1, 2, 4}, {1, 0, 4}, 2); });
  for (const Shape& bias : {Shape{1, 1, 2}, {2, 1, 1, 3}, {1, 3, 1, 3}, {1, 1, 1, 1}}) {
    Expect<NativeError>("does not fit scores [1, 2, 2, 3]", [&] {
      const Shape q{1, 2, 4}, k{1, 3, 4};
      OpSession session({"BiasedAttention", {{"heads", int64_t{2}}, {"scale", 1.0f}}, {q, k, k, bias}, q});
      session.Run({fuzz.Floats(q), fuzz.Floats(k), fuzz.Floats(k), fuzz.Floats(bias)});
    });
  }
}

}  // namespace

std::vector<Test> AttentionTests() {
  return {DISTRI_TEST(AttentionIsThatOfDoubles),
          DISTRI_TEST(BiasedAttentionIsThatOfDoubles),
          DISTRI_TEST(PatchAttentionAttendsToAllBands),
          DISTRI_TEST(SequenceAttentionIsExact),
          DISTRI_TEST(CachedAttentionKeepsWhatBandsBrought),
          DISTRI_TEST(CachedAttentionRefusesPlacesThatCanNotBe),
          DISTRI_TEST(AttentionRefusesWhatDoesNotFit)};
}

}  // namespace distri::test
