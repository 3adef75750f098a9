#include "device/cpu/product_results.h"

#include <algorithm>

namespace distri::device::cpu {

ResultWriter::ResultWriter(const Product& product, const Grid& grid, const Panels& panels)
    : product_(product), grid_(grid), panels_(panels) {
  finish_.activation = product.activation;
  finish_.lanes = panels.lanes;
  finish_.residual_type = product.residual.type;
  finish_.result_type = product.result.type;
}

void ResultWriter::Take(int64_t panel, int64_t first, const Span* spans, int64_t count, float* sums) {
  panel_ = panel;
  position_ = first;
  slot_ = 1 - slot_;
  finish_.width = panels_.WidthOf(panel);
  if (!product_.shift) FindAddend(nullptr);
  shift_ = nullptr;
  found_gate_ = nullptr;
  std::copy(spans, spans + count, spans_.begin());
  count_ = count;
  span_ = 0;
  row_ = 0;
  sums_ = sums;
}

void ResultWriter::Advance(int64_t rows) {
  while (rows > 0 && span_ < count_) {
    const int64_t left = spans_[static_cast<size_t>(span_)].count - row_;
    // Rows that differ in what is added go one by one.
    const int64_t together = Differ() ? 1 : std::min(rows, left);
    WriteRows(together);
    sums_ += together * panels_.lanes;
    rows -= together;
    position_ += together;
    row_ += together;
    if (together == left) {
      ++span_;
      row_ = 0;
    }
  }
}

void ResultWriter::WriteRows(int64_t count) {
  if (product_.shift) {
    const Span& span = spans_[static_cast<size_t>(span_)];
    const float* shift = product_.shift + span.offsets[kShift] + row_ * grid_.ColumnStride(kShift);
    if (shift != shift_) FindAddend(shift);
  }
  if (product_.gate) {
    const Span& span = spans_[static_cast<size_t>(span_)];
    const float* gate = product_.gate + span.offsets[kGate] + row_ * grid_.ColumnStride(kGate);
    if (gate != found_gate_) FindGate(gate);
  }
  FinishedRows rows;
  rows.count = count;
  const Place result = Find(product_.result, kResult);
  rows.result = result.data;
  rows.result_stride = result.stride;
  if (product_.residual.data) {
    const Place residual = Find(product_.residual, kResidual);
    rows.residual = residual.data;
    rows.residual_stride = residual.stride;
  }
  FinishRows(finish_, rows, addend_.data(), sums_);
  if (product_.sums.data) SumWritten(rows);
}

// Positions begin with a unit, and so do tasks.
void ResultWriter::SumWritten(const FinishedRows& rows) const {
  const ColumnSums& sums = product_.sums;
  for (int64_t done = 0, count = 0; done < rows.count; done += count) {
    const int64_t position = position_ + done;
    const int64_t column = position % sums.columns;
    count = std::min(rows.count - done, sums.columns - column);
    const int64_t unit = position / sums.columns;
    const int64_t row = unit / sums.units;
    float* const place = sums.data + row / sums.rows * sums.image_stride + row % sums.rows * sums.row_stride +
                         unit % sums.units * sums.unit_stride + panel_ * panels_.Width();
    AddColumns(rows.result + done * rows.result_stride, product_.result.type, rows.result_stride, count,
               finish_.width, column == 0, place, place + panels_.Results());
  }
}

bool ResultWriter::Differ() const {
  return (product_.shift && grid_.ColumnStride(kShift) != 0) ||
         (product_.gate && grid_.ColumnStride(kGate) != 0);
}

void ResultWriter::FindGate(const float* gate) {
  found_gate_ = gate;
  std::copy_n(gate + panel_ * panels_.Width(), static_cast<size_t>(finish_.width), gate_.data());
  finish_.gate = gate_.data();
}

ResultWriter::Place ResultWriter::Find(const PositionedArray& array, Operand operand) const {
  const auto item = static_cast<int64_t>(ItemBytes(array.type));
  const int64_t stride = grid_.ColumnStride(operand);
  const int64_t position = spans_[static_cast<size_t>(span_)].offsets[operand] + row_ * stride;
  return {array.data + (position + panel_ * panels_.Width()) * item, stride * item};
}

void ResultWriter::FindAddend(const float* shift) {
  shift_ = shift;
  for (int64_t half = 0; half < panels_.lanes; half += panels_.Width()) {
    const int64_t feature = half / panels_.Width() * panels_.Results() + panel_ * panels_.Width();
    float* const addend = addend_.data() + half;
    const auto width = static_cast<size_t>(finish_.width);
    if (product_.bias) std::copy_n(product_.bias + feature, width, addend);
    if (product_.bias && shift) {
      for (size_t i = 0; i < width; ++i) addend[i] += shift[feature + static_cast<int64_t>(i)];
    } else if (shift) {
      std::copy_n(shift + feature, width, addend);
    }
  }
}

}  // namespace distri::device::cpu
