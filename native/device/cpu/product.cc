#include "device/cpu/product.h"

#include <algorithm>
#include <array>
#include <memory>

#include "device/cpu/product_kernel.h"
#include "device/cpu/product_order.h"
#include "device/cpu/product_panel.h"
#include "device/cpu/product_positions.h"
#include "device/cpu/product_results.h"

// A task is some panels of weights for a block of positions. For each block of the inner dimension all panels
// and positions pass by, so that x and weights are read once by a task; what is summed so far waits.
namespace distri::device::cpu {
namespace {

constexpr int64_t kMostPositions = 512;
// What of x stays in the second-level cache.
constexpr int64_t kBlockBytes = 640 << 10;
constexpr int64_t kMostSums = 4 * 32 * kMostPositions;
// As many as keep some threads busy until the end.
constexpr int64_t kFewestTasks = 32;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Room for the sums of a task; one per thread, kept.
struct Scratch {
  alignas(64) float sums[kMostSums];
};

Scratch& ThreadScratch() {
  thread_local const std::unique_ptr<Scratch> scratch = std::make_unique<Scratch>();
  return *scratch;
}

// Part `index` of `count` things divided into parts of about equal size.
struct Share {
  int64_t begin;
  int64_t end;

  Share(int64_t count, int64_t parts, int64_t index)
      : begin(count * index / parts), end(count * (index + 1) / parts) {}
};

// How a product is divided into tasks.
struct Division {
  // Tiles are of this many positions where they can be.
  static constexpr int64_t kUnit = kMaxTile;
  int64_t units;
  int64_t blocks;
  int64_t groups;

  Division(int64_t positions, int64_t panels, int64_t lanes, int64_t position_bytes)
      : units(CeilDiv(positions, kUnit)) {
    const int64_t most = std::clamp(kBlockBytes / std::max<int64_t>(position_bytes, 1) / kUnit, int64_t{1},
                                    kMostPositions / kUnit);
    blocks = std::min(std::max(CeilDiv(units, most), CeilDiv(kFewestTasks, panels)), units);
    const int64_t most_panels = kMostSums / (CeilDiv(units, blocks) * kUnit * lanes);
    groups = std::min(std::max(CeilDiv(kFewestTasks, blocks), CeilDiv(panels, most_panels)), panels);
  }

  int64_t Tasks() const { return blocks * groups; }
};

class Runner {
 public:
  Runner(const Product& product, const ProductKernel& kernel)
      : product_(product),
        kernel_(kernel),
        grid_(product),
        panels_(product.weights, kernel.lanes),
        order_(product.weights, kernel.lanes),
        item_bytes_(static_cast<int64_t>(ItemBytes(product.weights.type))),
        division_(grid_.Count(), panels_.Count(), kernel.lanes, order_.BlockInner() * item_bytes_) {}

  int64_t Tasks() const { return division_.Tasks(); }

  // Blocks of positions follow each other, so that weights are read from memory once.
  void Task(int64_t task) const {
    const Share units(division_.units, division_.blocks, task % division_.blocks);
    const Share panels(panels_.Count(), division_.groups, task / division_.blocks);
    const int64_t first = units.begin * Division::kUnit;
    const int64_t positions = std::min(units.end * Division::kUnit, grid_.Count()) - first;
    const Cursor cursor(grid_, first);
    if (kernel_.begin) kernel_.begin();
    ResultWriter writer(product_, grid_, panels_);
    order_.ForEachPieces([&](const SumOrder::Pieces& pieces) {
      SumOrder::Pieces located = pieces;
      Locate(located);
      for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
        float* sums = ThreadScratch().sums + (panel - panels.begin) * positions * kernel_.lanes;
        MultiplyPositions(panel, located, cursor, positions, sums, writer);
      }
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

  // Makes of parts of segments parts of x.
  void Locate(SumOrder::Pieces& pieces) const {
    for (size_t i = 0; product_.segment_offsets && i < static_cast<size_t>(pieces.count); ++i)
      pieces.parts[i].offset += product_.segment_offsets[pieces.segments[i]];
  }

  // Some of a panel times all positions from the cursor on.
  void MultiplyPositions(int64_t panel, const SumOrder::Pieces& pieces, Cursor cursor, int64_t positions,
                         float* sums, ResultWriter& writer) const {
    const Chunk chunk{pieces.parts.data(), pieces.count,
                      product_.packed + panel * order_.PanelBytes() + pieces.step * order_.StepBytes(),
                      pieces.first, panels_.geglu ? panels_.lanes : panels_.WidthOf(panel)};
    ResultWriter* const behind = pieces.last ? &writer : nullptr;
    if (behind) behind->Begin(panel);
    int64_t done = 0;
    while (done < positions) {
      PositionTile tile;
      TakeTile(cursor, positions - done, tile);
      // Those of two tiles at least, as the one before may not be finished.
      float* tile_sums = sums + (order_.OnePass() ? done % (2 * kMaxTile) : done) * kernel_.lanes;
      kernel_.multiply({tile.stretches.data(), tile.count, grid_.ColumnStride(kX) * item_bytes_}, chunk,
                       tile_sums, behind);
      if (behind) {
        behind->Complete();
        behind->Take(tile.spans.data(), tile.count, tile_sums);
      }
      done += tile.positions;
    }
    if (behind) behind->Complete();
  }

  // Positions from the cursor on, at most `left`.
  void TakeTile(Cursor& cursor, int64_t left, PositionTile& tile) const {
    int64_t room = std::min(kernel_.positions, left);
    if (!kernel_.joins_stretches) {
      // Of about equal size: a short one at the end would take almost as long as a whole one.
      const int64_t stretch = std::min(cursor.LeftInRow(), left);
      room = CeilDiv(stretch, CeilDiv(stretch, kernel_.positions));
    }
    do {
      const Span span = cursor.Next(room);
      const auto index = static_cast<size_t>(tile.count++);
      tile.spans[index] = span;
      tile.stretches[index] = {product_.x.data + span.offsets[kX] * item_bytes_, span.count};
      tile.positions += span.count;
      room -= span.count;
    } while (room > 0);
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
