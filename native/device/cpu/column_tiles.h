// Winograd's F(4, 3) along columns: what of it are not products. src/engine/lowered/column-tiles.ts says how
// it goes together.
#pragma once

#include <cstdint>

#include "device/cpu/pool.h"
#include "device/cpu/product.h"
#include "device/strided.h"

namespace distri::device::cpu {

constexpr int64_t kTileColumns = 4;
constexpr int64_t kTilePoints = 6;

// Tiles [points, images, rows, tiles, features] of float32, features next to each other.
struct ColumnTiles {
  float* data = nullptr;
  int64_t images = 0;
  int64_t rows = 0;
  int64_t tiles = 0;
  int64_t features = 0;
  int64_t point_stride = 0;
  int64_t image_stride = 0;
  int64_t row_stride = 0;
  int64_t tile_stride = 0;
};

// Of x with as many images, rows and features, and `columns`; beyond them are zeros.
void SplitColumns(const PositionedArray& x, int64_t columns, const ColumnTiles& tiles, Pool& pool);

// Sums of products to results, finished as those of a product: of it `columns`, bias, shift, activation,
// residual and result are looked at.
void JoinColumns(const ColumnTiles& sums, const Product& product, Pool& pool);

}  // namespace distri::device::cpu
