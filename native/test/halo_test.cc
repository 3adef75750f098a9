// HaloExchange, HaloStrips and ReplaceRows.
#include "test/op_session.h"
#include "test/ops_tests.h"
#include "test/rows.h"

namespace distri::test {
namespace {

// The same layer in steps of all kinds, on one to three ranks.
struct HaloRun {
  HaloRun(Fuzz& fuzz, const std::string& op, bool strips)
      : ranks(fuzz.Int(1, 3)), fresh(fuzz.Coin()), bands(fuzz, ranks) {
    const int64_t batch = fuzz.Int(1, 3);
    const int64_t channels = fuzz.Int(1, 5);
    const int64_t width = fuzz.Int(1, 7);
    std::vector<Operator> operators;
    for (int64_t rank = 0; rank < ranks; ++rank) {
      const Shape band{batch, channels, bands.Rows(rank), width};
      const Shape output{batch, channels, strips ? 6 : band[2] + 2, width};
      operators.push_back({op,
                           {{"slot", int64_t{0}},
                            {"above", rank - 1},
                            {"below", rank + 1 < ranks ? rank + 1 : -1},
                            {"fresh", int64_t{fresh}}},
                           {band},
                           output});
    }
    std::vector<std::vector<Inputs>> inputs;
    for (size_t step = 0; step < steps.size(); ++step) {
      const Tensor image = fuzz.Floats({batch, channels, bands.total(), width});
      given.emplace_back();
      inputs.emplace_back();
      for (int64_t rank = 0; rank < ranks; ++rank) {
        given.back().push_back(bands.Of(image, rank));
        inputs.back().push_back({given.back().back()});
      }
    }
    const auto bytes = static_cast<uint64_t>(8 * batch * channels * width);
    const SlotBytes slots = {std::vector<uint64_t>(static_cast<size_t>(ranks), bytes)};
    results = RunOnRanks(operators, slots, steps, inputs, static_cast<int>(fuzz.Int(1, 2)));
  }

  // The bands whose rows a step's neighbours are to be seen with.
  const std::vector<Tensor>& Neighbours(size_t step) const {
    return given[fresh ? step : static_cast<size_t>(steps[step].read_tick)];
  }

  const std::vector<Step> steps = {Synchronous(0), Stale(1), Stale(2), Frozen(3, 2), Frozen(4, 2)};
  int64_t ranks;
  bool fresh;
  Bands bands;
  // By step and rank.
  std::vector<std::vector<Tensor>> given;
  std::vector<std::vector<Tensor>> results;
};

void HaloExchangePutsTheNeighboursRowsAroundABand() {
  Fuzz fuzz(10);
  for (int round = 0; round < 20; ++round) {
    const HaloRun run(fuzz, "HaloExchange", false);
    for (size_t step = 0; step < run.steps.size(); ++step) {
      for (int64_t rank = 0; rank < run.ranks; ++rank) {
        const Tensor& y = run.results[step][static_cast<size_t>(rank)];
        CheckEqual(Inside(y), run.given[step][static_cast<size_t>(rank)].floats, "the band");
        CheckHalo(y, rank, run.Neighbours(step));
      }
    }
  }
}

void HaloStripsAreTheRowsAroundABandsEnds() {
  Fuzz fuzz(11);
  for (int round = 0; round < 20; ++round) {
    const HaloRun run(fuzz, "HaloStrips", true);
    for (size_t step = 0; step < run.steps.size(); ++step) {
      for (int64_t rank = 0; rank < run.ranks; ++rank) {
        const Tensor& strips = run.results[step][static_cast<size_t>(rank)];
        const Tensor& band = run.given[step][static_cast<size_t>(rank)];
        const int64_t rows = band.shape[2];
        // The extended band's rows 0 to 2 and its last three are the strips; an extended band of one row has
        // three.
        Tensor extended{band.shape, {}};
        extended.shape[2] = rows + 2;
        const int64_t width = band.shape[3];
        for (int64_t plane = 0; plane < band.shape[0] * band.shape[1]; ++plane) {
          const auto row = [&](const Tensor& from, int64_t index) {
            const auto begin = from.floats.begin() + (plane * from.shape[2] + index) * width;
            extended.floats.insert(extended.floats.end(), begin, begin + width);
          };
          row(strips, 0);
          for (int64_t index = 0; index < rows; ++index) row(band, index);
          row(strips, 5);
        }
        CheckEqual(RowsOf(strips, 0, 3), RowsOf(extended, 0, 3).floats, "the first strip");
        CheckEqual(RowsOf(strips, 3, 3), RowsOf(extended, rows - 1, 3).floats, "the last strip");
        CheckHalo(extended, rank, run.Neighbours(step));
      }
    }
  }
}

void ReplaceRowsReplacesTheFirstAndTheLastRow() {
  Fuzz fuzz(12);
  for (int round = 0; round < 40; ++round) {
    const Shape shape{fuzz.Int(1, 3), fuzz.Int(1, 5), fuzz.Int(1, 5), fuzz.Int(1, 7)};
    Shape rows_shape = shape;
    rows_shape[2] = fuzz.Int(1, 6);
    const int64_t first = fuzz.Int(-1, rows_shape[2] - 1);
    const int64_t last = fuzz.Int(-1, rows_shape[2] - 1);
    OpSession session({"ReplaceRows", {{"first", first}, {"last", last}}, {shape, rows_shape}, shape});
    const Tensor x = fuzz.Floats(shape);
    const Tensor rows = fuzz.Floats(rows_shape);
    const Tensor y = session.Run({x, rows});
    for (int64_t row = 0; row < shape[2]; ++row) {
      const bool replaced_last = row == shape[2] - 1 && last >= 0;
      const bool replaced_first = row == 0 && first >= 0 && !replaced_last;
      const Tensor wanted = replaced_last    ? RowsOf(rows, last, 1)
                            : replaced_first ? RowsOf(rows, first, 1)
                                             : RowsOf(x, row, 1);
      CheckEqual(RowsOf(y, row, 1), wanted.floats, "row " + std::to_string(row));
    }
  }
}

void RowsThatDoNotFitAreRefused() {
  Fuzz fuzz(13);
  OpSession replace({"ReplaceRows",
                     {{"first", int64_t{4}}, {"last", int64_t{0}}},
                     {{1, 2, 3, 4}, {1, 2, 4, 4}},
                     {1, 2, 3, 4}});
  Expect<NativeError>("expected [B, C, h, W] and rows for it", [&] {
    replace.Run({fuzz.Floats({1, 2, 3, 4}), fuzz.Floats({1, 2, 4, 4})});
  });
  const Attributes border = {
      {"slot", int64_t{0}}, {"above", int64_t{-1}}, {"below", int64_t{-1}}, {"fresh", int64_t{1}}};
  OpSession halo({"HaloExchange", border, {{1, 2, 3}}, {1, 2, 5}});
  Expect<NativeError>("expected [B, C, h, W], not [1, 2, 3]", [&] { halo.Run({fuzz.Floats({1, 2, 3})}); });
}

}  // namespace

std::vector<Test> HaloTests() {
  return {DISTRI_TEST(HaloExchangePutsTheNeighboursRowsAroundABand),
          DISTRI_TEST(HaloStripsAreTheRowsAroundABandsEnds),
          DISTRI_TEST(ReplaceRowsReplacesTheFirstAndTheLastRow), DISTRI_TEST(RowsThatDoNotFitAreRefused)};
}

}  // namespace distri::test
