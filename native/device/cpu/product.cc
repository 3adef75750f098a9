#include "device/cpu/product.h"

#include <algorithm>
#include <array>
#include <memory>

#include "device/cpu/product_finish.h"
#include "device/cpu/product_kernel.h"
#include "device/cpu/product_panel.h"
#include "device/cpu/product_positions.h"

// A task is some panels of weights for a block of positions. Of a panel as many steps are taken at a time as
// stay in the first-level cache while all positions pass by; what is summed so far waits in the second-level
// cache.
namespace distri::device::cpu {
namespace {

// Positions of a block: enough that weights which come from memory are used often, with x still in the
// second-level cache.
constexpr int64_t kMostPositions = 512;
constexpr int64_t kMostLanes = 64;
// As many as keep some threads busy until the end.
constexpr int64_t kFewestTasks = 32;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Room for the sums of one panel; one per thread, kept.
struct Scratch {
  alignas(64) float sums[kMostPositions * kMostLanes];
  alignas(64) float addend[kMostLanes];
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

// How a product is divided.
struct Division {
  // Tiles are of this many positions where they can be.
  static constexpr int64_t kUnit = kMaxTile;
  int64_t units;
  int64_t blocks;
  int64_t groups;

  Division(int64_t positions, int64_t panels) : units(CeilDiv(positions, kUnit)) {
    const int64_t fewest = CeilDiv(units, kMostPositions / kUnit);
    blocks = std::min(std::max(fewest, CeilDiv(kFewestTasks, panels)), units);
    groups = std::min(CeilDiv(kFewestTasks, blocks), panels);
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
        item_bytes_(static_cast<int64_t>(ItemBytes(product.weights.type))),
        segment_steps_(StepsOfSegment(product.weights)),
        steps_(segment_steps_ * product.weights.segments),
        step_bytes_(StepBytes(product.weights, kernel.lanes)),
        chunks_(std::max<int64_t>(CeilDiv(steps_ * step_bytes_, kChunkBytes), 1)),
        division_(grid_.Count(), panels_.Count()) {}

  int64_t Tasks() const { return division_.Tasks(); }

  // Blocks of positions follow each other, so that weights are read from memory once.
  void Task(int64_t task) const {
    const Share units(division_.units, division_.blocks, task % division_.blocks);
    const Share panels(panels_.Count(), division_.groups, task / division_.blocks);
    const int64_t first = units.begin * Division::kUnit;
    const int64_t end = std::min(units.end * Division::kUnit, grid_.Count());
    const Cursor cursor(grid_, first);
    if (kernel_.begin) kernel_.begin();
    for (int64_t panel = panels.begin; panel < panels.end; ++panel) RunPanel(panel, cursor, end - first);
    if (kernel_.end) kernel_.end();
  }

 private:
  struct PositionTile {
    std::array<Stretch, kMaxTile> stretches;
    std::array<Span, kMaxTile> spans;
    int64_t count = 0;
    int64_t positions = 0;
  };

  void RunPanel(int64_t panel, const Cursor& begin, int64_t positions) const {
    Scratch& scratch = ThreadScratch();
    for (int64_t index = 0; index < chunks_; ++index) {
      std::array<Part, kMaxParts> parts;
      const Chunk chunk = ChunkOf(panel, index, parts);
      Cursor cursor = begin;
      int64_t done = 0;
      while (done < positions) {
        PositionTile tile;
        TakeTile(cursor, positions - done, tile);
        float* sums = scratch.sums + (chunks_ == 1 ? 0 : done * kernel_.lanes);
        kernel_.multiply({tile.stretches.data(), tile.count, grid_.ColumnStride(kX) * item_bytes_}, chunk,
                         sums);
        if (index + 1 == chunks_) FinishTile(panel, tile, sums, scratch.addend);
        done += tile.positions;
      }
    }
  }

  Chunk ChunkOf(int64_t panel, int64_t index, std::array<Part, kMaxParts>& parts) const {
    const Share steps(steps_, chunks_, index);
    int64_t count = 0;
    for (int64_t step = steps.begin; step < steps.end;) {
      const int64_t segment = step / segment_steps_;
      const int64_t end = std::min(steps.end, (segment + 1) * segment_steps_);
      const int64_t first = (step - segment * segment_steps_) * kStep;
      const int64_t inner = std::min((end - step) * kStep, product_.weights.inner - first);
      const int64_t offset = product_.segment_offsets ? product_.segment_offsets[segment] : 0;
      parts[static_cast<size_t>(count++)] = {offset + first, inner};
      step = end;
    }
    const std::byte* packed = product_.packed + (panel * steps_ + steps.begin) * step_bytes_;
    return {parts.data(), count, packed, index == 0, panels_.geglu ? panels_.lanes : panels_.WidthOf(panel)};
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

  void FinishTile(int64_t panel, const PositionTile& tile, float* sums, float* addend) const {
    const Finish finish{product_.activation, panels_.lanes, panels_.WidthOf(panel), product_.residual.type,
                        product_.result.type};
    for (int64_t i = 0; i < tile.count; ++i) {
      const Span& span = tile.spans[static_cast<size_t>(i)];
      FinishSpan(panel, finish, span, sums, addend);
      sums += span.count * panels_.lanes;
    }
  }

  void FinishSpan(int64_t panel, const Finish& finish, const Span& span, float* sums, float* addend) const {
    // Rows that differ in what is added are finished one by one.
    const int64_t shift_stride = grid_.ColumnStride(kShift);
    const int64_t together = product_.shift && shift_stride != 0 ? 1 : span.count;
    const int64_t first_result = panel * panels_.Width();
    for (int64_t row = 0; row < span.count; row += together) {
      FindAddend(panel, product_.shift ? product_.shift + span.offsets[kShift] + row * shift_stride : nullptr,
                 addend);
      FinishedRows rows;
      rows.count = together;
      Locate(product_.result, grid_.ColumnStride(kResult), span.offsets[kResult], row, first_result,
             rows.result, rows.result_stride);
      if (product_.residual.data) {
        std::byte* residual = nullptr;
        Locate(product_.residual, grid_.ColumnStride(kResidual), span.offsets[kResidual], row, first_result,
               residual, rows.residual_stride);
        rows.residual = residual;
      }
      FinishRows(finish, rows, addend, sums + row * panels_.lanes);
    }
  }

  // Where a panel's results of row `row` of a span are, and their distance in bytes.
  static void Locate(const PositionedArray& array, int64_t stride, int64_t offset, int64_t row,
                     int64_t first_result, std::byte*& data, int64_t& stride_bytes) {
    const auto item = static_cast<int64_t>(ItemBytes(array.type));
    data = array.data + (offset + row * stride + first_result) * item;
    stride_bytes = stride * item;
  }

  void FindAddend(int64_t panel, const float* shift, float* addend) const {
    for (int64_t lane = 0; lane < panels_.lanes; ++lane) {
      const int64_t feature = panels_.FeatureOf(panel, lane);
      addend[lane] = feature < 0
                         ? 0.0f
                         : (product_.bias ? product_.bias[feature] : 0.0f) + (shift ? shift[feature] : 0.0f);
    }
  }

  const Product& product_;
  const ProductKernel& kernel_;
  Grid grid_;
  Panels panels_;
  int64_t item_bytes_;
  int64_t segment_steps_;
  int64_t steps_;
  int64_t step_bytes_;
  int64_t chunks_;
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
