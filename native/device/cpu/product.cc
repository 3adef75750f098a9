#include "device/cpu/product.h"

#include <algorithm>
#include <array>
#include <memory>

#include "device/cpu/product_division.h"
#include "device/cpu/product_kernel.h"
#include "device/cpu/product_order.h"
#include "device/cpu/product_panel.h"
#include "device/cpu/product_positions.h"
#include "device/cpu/product_results.h"

// A task is some panels of weights for a block of positions. For each block of the inner dimension all panels
// and positions pass by, so that x and weights are read once by a task; what is summed so far waits.
namespace distri::device::cpu {
namespace {

constexpr int64_t kLine = 64;
constexpr int64_t kMostPositions = 512;
// What of x stays in the second-level cache, and what of weights.
constexpr int64_t kBlockBytes = 640 << 10;
constexpr int64_t kPassingBytes = 640 << 10;
constexpr int64_t kMostSums = 128 << 10;

// Room for the sums of a task; one per thread, kept.
struct Scratch {
  alignas(64) float sums[kMostSums];
};

Scratch& ThreadScratch() {
  thread_local const std::unique_ptr<Scratch> scratch = std::make_unique<Scratch>();
  return *scratch;
}

class Runner {
 public:
  Runner(const Product& product, const ProductKernel& kernel)
      : product_(product),
        kernel_(kernel),
        grid_(product),
        panels_(product.weights, kernel.lanes),
        order_(product.weights, kernel.lanes, kernel.on_tiles ? kMaxStepsOnTiles : kMaxSteps),
        item_bytes_(static_cast<int64_t>(ItemBytes(product.weights.type))),
        division_(InputOfDivision()) {}

  int64_t Tasks() const { return division_.Tasks(); }

  void Task(int64_t task) const {
    const Share units = division_.UnitsOf(task);
    const Share panels = division_.PanelsOf(task);
    const int64_t first = units.begin * Division::kUnit;
    const int64_t positions = std::min(units.end * Division::kUnit, grid_.Count()) - first;
    const Cursor cursor(grid_, first);
    if (kernel_.begin) kernel_.begin();
    ResultWriter writer(product_, grid_, panels_);
    order_.ForEachPass([&](const SumOrder::Pass& steps) {
      SumOrder::Pass located = steps;
      Locate(located);
      const Pass pass{located, panels, cursor, first, positions, writer};
      const int64_t together = PanelsTogether(steps);
      for (int64_t panel = panels.begin; panel < panels.end; panel += together)
        MultiplyPanels(pass, {panel, std::min(panel + together, panels.end)});
      writer.Complete();
    });
    if (kernel_.end) kernel_.end();
  }

 private:
  struct PositionTile {
    std::array<Stretch, kMaxTile> stretches;
    std::array<Span, kMaxTile> spans;
    int64_t count = 0;
    int64_t positions = 0;
  };

  DivisionInput InputOfDivision() const {
    const int64_t block_bytes = std::max<int64_t>(order_.BlockInner() * item_bytes_, 1);
    DivisionInput input;
    input.positions = grid_.Count();
    input.panels = panels_.Count();
    input.position_bytes = product_.weights.inner * item_bytes_;
    input.panel_bytes = order_.PanelBytes();
    input.most_positions = std::min(kBlockBytes / block_bytes, kMostPositions);
    // Sums of one pass go to results at once.
    const int64_t rows = kMostSums / kernel_.lanes;
    input.most_pairs = order_.OnePass() ? rows * panels_.Count() : rows;
    input.steps = order_.PanelBytes() / order_.StepBytes();
    return input;
  }

  // Makes of parts of segments parts of x.
  void Locate(SumOrder::Pass& pass) const {
    for (size_t i = 0; product_.segment_offsets && i < static_cast<size_t>(pass.count); ++i)
      pass.parts[i].offset += product_.segment_offsets[pass.segments[i]];
  }

  const std::byte* PackedAt(int64_t panel, int64_t step) const {
    return product_.packed + panel * order_.PanelBytes() + step * order_.StepBytes();
  }

  // What a task does with some steps of its panels.
  struct Pass {
    const SumOrder::Pass& steps;
    const Share& panels;
    const Cursor& begin;
    int64_t first;
    int64_t positions;
    ResultWriter& writer;
  };

  // Whether a tile is multiplied by one panel after the other, as its x stays in the first-level cache, or a
  // panel with one tile after the other.
  bool TilesFirst() const { return kernel_.on_tiles && product_.weights.segments == 1; }

  // Panels of which a pass stays in the second-level cache until all tiles have passed.
  int64_t PanelsTogether(const SumOrder::Pass& pass) const {
    const int64_t bytes = std::max<int64_t>(pass.steps, 1) * order_.StepBytes();
    return TilesFirst() ? std::max<int64_t>(kPassingBytes / bytes, 1) : 1;
  }

  // All positions times some panels, tile by tile.
  void MultiplyPanels(const Pass& pass, const Share& panels) const {
    Cursor cursor = pass.begin;
    PositionTile tile;
    for (int64_t first = 0; first < pass.positions; first += tile.positions) {
      TakeTile(cursor, pass.positions - first, tile);
      for (int64_t panel = panels.begin; panel < panels.end; ++panel) MultiplyTile(pass, panel, first, tile);
    }
  }

  void MultiplyTile(const Pass& pass, int64_t panel, int64_t first, const PositionTile& tile) const {
    const SumOrder::Pass& steps = pass.steps;
    const Chunk chunk{steps.parts.data(), steps.count,
                      steps.steps,        PackedAt(panel, steps.first_step),
                      steps.first,        panels_.geglu ? panels_.lanes : panels_.WidthOf(panel)};
    Meanwhile meanwhile;
    if (kernel_.on_tiles) {
      // What is only added and stored is sooner done at once than in turns with AMX, where tiles change as
      // often as in a linear layer.
      const bool in_turns = !TilesFirst() || product_.activation != Activation::kNone;
      if (steps.last && in_turns) meanwhile.writer = &pass.writer;
      Prefetch(pass, panel, first, first + tile.positions, meanwhile);
    }
    float* sums = SumsOf(pass, panel, first);
    kernel_.multiply({tile.stretches.data(), tile.count, grid_.ColumnStride(kX) * item_bytes_}, chunk, sums,
                     meanwhile);
    if (!steps.last) return;
    pass.writer.Complete();
    pass.writer.Take(panel, pass.first + first, tile.spans.data(), tile.count, sums);
  }

  // The weights that come next, which most likely are in memory: of the next panel, or of this one's next
  // pass. With each tile comes a share of them, or all with the first tile if that needs them. A single tile
  // reads weights as fast as they come.
  void Prefetch(const Pass& pass, int64_t panel, int64_t first, int64_t end, Meanwhile& meanwhile) const {
    if (TilesFirst() && end - first == pass.positions) return;
    const SumOrder::Pass& steps = pass.steps;
    const int64_t lines = steps.steps * order_.StepBytes() / kLine;
    const bool more_panels = panel + 1 < pass.panels.end;
    if (TilesFirst() && first == 0 && more_panels) {
      meanwhile.packed = PackedAt(panel + 1, steps.first_step);
      meanwhile.lines = lines;
      return;
    }
    if (TilesFirst() ? steps.last : !more_panels) return;
    const int64_t before = lines * first / pass.positions;
    const std::byte* const next = TilesFirst() ? PackedAt(panel, steps.first_step + steps.steps)
                                               : PackedAt(panel + 1, steps.first_step);
    meanwhile.packed = next + before * kLine;
    meanwhile.lines = lines * end / pass.positions - before;
  }

  // Of one pass only those of two tiles are kept: the one before may not be finished.
  float* SumsOf(const Pass& pass, int64_t panel, int64_t first) const {
    const int64_t rows = CeilDiv(pass.positions, kMaxTile) * kMaxTile;
    const int64_t before =
        order_.OnePass() ? pass.writer.Slot() * kMaxTile : (panel - pass.panels.begin) * rows + first;
    return ThreadScratch().sums + before * kernel_.lanes;
  }

  // Positions from the cursor on, at most `left`.
  void TakeTile(Cursor& cursor, int64_t left, PositionTile& tile) const {
    int64_t room = std::min(kernel_.positions, left);
    if (!kernel_.on_tiles) {
      // Of about equal size: a short tile at the end of a row would take almost as long as a whole one.
      const int64_t stretch = std::min(cursor.LeftInRow(), left);
      room = CeilDiv(stretch, CeilDiv(stretch, kernel_.positions));
    }
    tile.count = 0;
    tile.positions = 0;
    while (room > 0) {
      const auto index = static_cast<size_t>(tile.count++);
      Span& span = tile.spans[index];
      cursor.Next(room, span);
      tile.stretches[index] = {product_.x.data + span.offsets[kX] * item_bytes_, span.count};
      tile.positions += span.count;
      room -= span.count;
    }
  }

  const Product& product_;
  const ProductKernel& kernel_;
  Grid grid_;
  Panels panels_;
  SumOrder order_;
  int64_t item_bytes_;
  Division division_;
};

}  // namespace

void Run(const Product& product, Pool& pool) {
  const Positions& positions = product.positions;
  if (positions.images * positions.rows * positions.columns * product.weights.features == 0) return;
  const Runner runner(product, KernelFor(product.weights.type));
  pool.Run(runner.Tasks(), [&](int64_t task) { runner.Task(task); });
}

}  // namespace distri::device::cpu
