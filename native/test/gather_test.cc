// GatherBands and AllReduceSum.
#include <algorithm>

#include "test/op_session.h"
#include "test/ops_tests.h"

namespace distri::test {
namespace {

// A part of an image [B, C, H, W].
struct Part {
  int64_t batch, batches, row, rows, column, columns;
};

Tensor PartOf(const Tensor& image, const Part& part) {
  Tensor cut{{part.batches, image.shape[1], part.rows, part.columns}, {}};
  for (int64_t n = part.batch; n < part.batch + part.batches; ++n) {
    for (int64_t channel = 0; channel < image.shape[1]; ++channel) {
      for (int64_t row = part.row; row < part.row + part.rows; ++row) {
        const auto begin = image.floats.begin() +
                           ((n * image.shape[1] + channel) * image.shape[2] + row) * image.shape[3] +
                           part.column;
        cut.floats.insert(cut.floats.end(), begin, begin + part.columns);
      }
    }
  }
  return cut;
}

// Divides one dimension of an image among three ranks, of which some may get nothing.
std::vector<Part> Divide(Fuzz& fuzz, const Shape& shape, int64_t dimension) {
  std::vector<int64_t> cuts = fuzz.Ints(2, 0, shape[static_cast<size_t>(dimension)]);
  std::sort(cuts.begin(), cuts.end());
  cuts.insert(cuts.begin(), 0);
  cuts.push_back(shape[static_cast<size_t>(dimension)]);
  std::vector<Part> parts;
  for (size_t i = 0; i < 3; ++i) {
    const int64_t first = cuts[i], count = cuts[i + 1] - cuts[i];
    Part part{0, shape[0], 0, shape[2], 0, shape[3]};
    if (dimension == 0) part.batch = first, part.batches = count;
    if (dimension == 2) part.row = first, part.rows = count;
    if (dimension == 3) part.column = first, part.columns = count;
    parts.push_back(part);
  }
  return parts;
}

template <class Member>
std::vector<int64_t> Column(const std::vector<Part>& parts, Member member) {
  std::vector<int64_t> column;
  for (const Part& part : parts) column.push_back(part.*member);
  return column;
}

void GatherBandsAssemblesAnyParts() {
  Fuzz fuzz(40);
  for (int round = 0; round < 30; ++round) {
    const Shape shape{fuzz.Int(1, 3), fuzz.Int(1, 4), fuzz.Int(1, 7), fuzz.Int(1, 7)};
    constexpr int64_t kDimensions[] = {0, 2, 3};
    std::vector<Part> parts = Divide(fuzz, shape, kDimensions[round % 3]);
    // Without rows and with its columns cut, a part has nothing to divide.
    if (round % 5 == 0) parts[0].rows == 0 ? parts[0].columns = fuzz.Int(0, shape[3]) : 0;
    std::vector<Operator> operators;
    SlotBytes slots(1);
    for (const Part& part : parts) {
      const Shape own{part.batches, shape[1], part.rows, part.columns};
      operators.push_back({"GatherBands",
                           {{"slot", int64_t{0}},
                            {"ranks", std::vector<int64_t>{0, 1, 2}},
                            {"batch_start", Column(parts, &Part::batch)},
                            {"batch_count", Column(parts, &Part::batches)},
                            {"row_start", Column(parts, &Part::row)},
                            {"row_count", Column(parts, &Part::rows)},
                            {"column_start", Column(parts, &Part::column)},
                            {"column_count", Column(parts, &Part::columns)},
                            {"batch", shape[0]},
                            {"rows", shape[2]},
                            {"columns", shape[3]}},
                           {own},
                           shape});
      slots[0].push_back(static_cast<uint64_t>(4 * Count(own)));
    }
    const std::vector<Step> steps = {Synchronous(0), Stale(1), Frozen(2, 0)};
    std::vector<Tensor> images;
    std::vector<std::vector<Inputs>> inputs;
    for (size_t step = 0; step < steps.size(); ++step) {
      images.push_back(fuzz.Floats(shape));
      inputs.emplace_back();
      for (const Part& part : parts) inputs.back().push_back({PartOf(images.back(), part)});
    }
    const auto results = RunOnRanks(operators, slots, steps, inputs, static_cast<int>(fuzz.Int(1, 2)));
    for (size_t step = 0; step < steps.size(); ++step) {
      for (const Tensor& y : results[step]) CheckEqual(y, images[step].floats, "GatherBands");
    }
  }
}

void GatherBandsRefusesPartsOutside() {
  const std::vector<int64_t> none = {0};
  const auto gather = [&](int64_t rank, int64_t row, int64_t rows) {
    return Operator{"GatherBands",
                    {{"slot", int64_t{0}},
                     {"ranks", std::vector<int64_t>{rank}},
                     {"batch_start", none},
                     {"batch_count", std::vector<int64_t>{1}},
                     {"row_start", std::vector<int64_t>{row}},
                     {"row_count", std::vector<int64_t>{rows}},
                     {"column_start", none},
                     {"column_count", std::vector<int64_t>{2}},
                     {"batch", int64_t{1}},
                     {"rows", int64_t{3}},
                     {"columns", int64_t{2}}},
                    {{1, 1, rows, 2}},
                    {1, 1, 3, 2}};
  };
  Expect<NativeError>("the part of rank 0 lies outside of the output", [&] { OpSession(gather(0, 1, 3)); });
  Expect<NativeError>("this rank is not among its ranks", [&] { OpSession(gather(1, 0, 3)); });
  Fuzz fuzz(41);
  OpSession alone(gather(0, 0, 3));
  const Tensor x = fuzz.Floats({1, 1, 3, 2});
  CheckEqual(alone.Run({x}), x.floats, "the only part");
}

void AllReduceSumAddsInTheOrderOfItsSources() {
  Fuzz fuzz(42);
  for (int round = 0; round < 24; ++round) {
    const auto ranks = static_cast<size_t>(1 + round % 3);
    // Also fewer numbers than ranks, and more than one block.
    const Shape shape =
        round % 4 == 0 ? Shape{fuzz.Int(1, 3)} : Shape{fuzz.Int(1, 3), fuzz.Int(1, 5), fuzz.Int(1, 900)};
    const int64_t count = Count(shape);
    std::vector<int64_t> peers, sources;
    for (size_t rank = 0; rank < ranks; ++rank) {
      peers.push_back(static_cast<int64_t>(rank));
      if (rank == 0 || fuzz.Coin()) sources.push_back(static_cast<int64_t>(rank));
    }
    std::vector<Operator> operators;
    SlotBytes slots(2);
    const auto cut = [&](size_t part) {
      return count * static_cast<int64_t>(part) / static_cast<int64_t>(ranks);
    };
    for (size_t rank = 0; rank < ranks; ++rank) {
      operators.push_back({"AllReduceSum",
                           {{"slot", int64_t{0}},
                            {"share_slot", int64_t{1}},
                            {"peers", peers},
                            {"index", static_cast<int64_t>(rank)},
                            {"sources", sources},
                            {"shape", shape}},
                           {shape},
                           shape});
      const bool contributes = std::find(sources.begin(), sources.end(), peers[rank]) != sources.end();
      slots[0].push_back(contributes ? static_cast<uint64_t>(4 * count) : 0);
      slots[1].push_back(ranks > 2 ? static_cast<uint64_t>(4 * (cut(rank + 1) - cut(rank))) : 0);
    }
    const std::vector<Step> steps = {Synchronous(0), Synchronous(1), Synchronous(2)};
    std::vector<std::vector<Inputs>> inputs(steps.size());
    for (auto& step : inputs) {
      for (size_t rank = 0; rank < ranks; ++rank) step.push_back({fuzz.Floats(shape)});
    }
    const auto results = RunOnRanks(operators, slots, steps, inputs, static_cast<int>(fuzz.Int(1, 2)));
    for (size_t step = 0; step < steps.size(); ++step) {
      std::vector<float> sum = inputs[step][static_cast<size_t>(sources[0])][0].floats;
      for (size_t i = 1; i < sources.size(); ++i) {
        const Tensor& part = inputs[step][static_cast<size_t>(sources[i])][0];
        for (size_t j = 0; j < sum.size(); ++j) sum[j] += part.floats[j];
      }
      for (const Tensor& y : results[step]) CheckEqual(y, sum, "AllReduceSum");
    }
  }
}

}  // namespace

std::vector<Test> GatherTests() {
  return {DISTRI_TEST(GatherBandsAssemblesAnyParts), DISTRI_TEST(GatherBandsRefusesPartsOutside),
          DISTRI_TEST(AllReduceSumAddsInTheOrderOfItsSources)};
}

}  // namespace distri::test
