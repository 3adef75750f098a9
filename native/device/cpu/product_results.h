// Writes the results of a panel, tile by tile.
#pragma once

#include <array>
#include <cstdint>

#include "device/cpu/product.h"
#include "device/cpu/product_finish.h"
#include "device/cpu/product_kernel.h"
#include "device/cpu/product_panel.h"
#include "device/cpu/product_positions.h"

namespace distri::device::cpu {

// Has one tile at a time, row by row: on AMX vector units are idle while sums are taken, so that the rows of
// a tile are finished while the next is multiplied.
class ResultWriter {
 public:
  ResultWriter(const Product& product, const Grid& grid, const Panels& panels);

  // The tile before has to be complete. These sums may not be changed until this one is.
  // `first` is the first of its positions.
  void Take(int64_t panel, int64_t first, const Span* spans, int64_t count, float* sums);
  // 0 or 1, other than that of the tile before.
  int64_t Slot() const { return slot_; }
  // Writes some rows of the tile.
  void Advance(int64_t rows);
  void Complete() { Advance(kMaxTile); }

 private:
  // At a distance of a row's residual or result, in bytes.
  struct Place {
    std::byte* data;
    int64_t stride;
  };

  void WriteRows(int64_t rows);
  void SumWritten(const FinishedRows& rows) const;
  Place Find(const PositionedArray& array, Operand operand) const;
  // What is added to sums of an image, or of all.
  void FindAddend(const float* shift);
  // What results of an image are multiplied by.
  void FindGate(const float* gate);
  // Whether positions of one row are of several images.
  bool Differ() const;

  const Product& product_;
  const Grid& grid_;
  const Panels& panels_;
  int64_t panel_ = 0;
  int64_t slot_ = 0;
  Finish finish_;
  const float* shift_ = nullptr;
  alignas(64) std::array<float, kMaxLanes> addend_{};
  const float* found_gate_ = nullptr;
  alignas(64) std::array<float, kMaxLanes> gate_{};
  std::array<Span, kMaxTile> spans_;
  int64_t count_ = 0;
  // What comes next: a position, which is a row of a span, and its sums.
  int64_t position_ = 0;
  int64_t span_ = 0;
  int64_t row_ = 0;
  float* sums_ = nullptr;
};

}  // namespace distri::device::cpu
