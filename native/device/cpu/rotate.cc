#include <algorithm>

#include "device/cpu/elementwise.h"
#include "device/cpu/lanes.h"
#include "device/cpu/rows.h"
#include "device/cpu/walk.h"
#include "ops/levels.h"

namespace distri::device::cpu {
namespace {

using ops::Choose;

struct Loops {
  // Rotates `pairs` pairs of neighbours in place.
  void (*rotate)(const float* cosines, const float* sines, int64_t pairs, float* row);
};

DISTRI_INLINE void RotatePairs(const float* cosines, const float* sines, int64_t pairs, float* row) {
  for (int64_t i = 0; i < pairs; ++i) {
    const float x = row[2 * i];
    const float y = row[2 * i + 1];
    row[2 * i] = x * cosines[i] - y * sines[i];
    row[2 * i + 1] = y * cosines[i] + x * sines[i];
  }
}

#define DISTRI_ROTATE_LOOPS(Name, TARGET, W, V)                                                      \
  struct Name {                                                                                      \
    TARGET static void Rotate(const float* cosines, const float* sines, int64_t pairs, float* row) { \
      RotatePairs(cosines, sines, pairs, row);                                                       \
    }                                                                                                \
    static constexpr Loops kLoops{Rotate};                                                           \
  };

DISTRI_LEVELS(DISTRI_ROTATE_LOOPS)

// All heads of one token, whose angles are the same.
void RotateToken(const Strided& x, int64_t x_offset, const Strided& y, int64_t y_offset, const float* cosines,
                 const float* sines, int64_t pairs) {
  alignas(64) float row[kPiece];
  for (int64_t head = 0; head < x.shape[2]; head += 2 * pairs) {
    for (int64_t pair = 0; pair < pairs; pair += kPiece / 2) {
      const int64_t count = std::min(kPiece / 2, pairs - pair);
      const int64_t first = head + 2 * pair;
      LoadRow(x.type, At(x, x_offset + first * x.strides[2]), x.strides[2], 2 * count, row);
      ChosenLoops().rotate(cosines + pair, sines + pair, count, row);
      StoreRow(row, 2 * count, y.type, At(y, y_offset + first * y.strides[2]), y.strides[2]);
    }
  }
}

}  // namespace

void Rotate(const Strided& x, const Strided& cosines, const Strided& sines, const Strided& y, Pool& pool) {
  const int64_t tokens = x.shape[1];
  pool.Run(x.shape[0] * tokens, [&](int64_t row) {
    const int64_t token = row % tokens;
    RotateToken(x, OffsetOf(x, 2, row), y, OffsetOf(y, 2, row),
                cosines.as<float>() + token * cosines.strides[0],
                sines.as<float>() + token * sines.strides[0], cosines.shape[1]);
  });
}

}  // namespace distri::device::cpu
