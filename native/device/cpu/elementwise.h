// What is neither product nor norm: everything on strided arrays of any of the types.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cpu/pool.h"
#include "device/cpu/product.h"
#include "device/strided.h"

namespace distri::device::cpu {

// y = x, converted to y's type (to bfloat16 with rounding to nearest even). Of equal shape.
void Copy(const Strided& x, const Strided& y, Pool& pool);

enum class Binary : uint8_t { kAdd, kMultiply };

// y = a op b, computed in float32. Operands have y's shape, with strides of 0 where they are repeated.
void Combine(Binary op, const Strided& a, const Strided& b, const Strided& y, Pool& pool);

// y = the sum of x over its first dimension, in its order, in float32. x has y's dimensions behind its first.
void Sum(const Strided& x, const Strided& y, Pool& pool);

enum class Unary : uint8_t { kSilu, kQuickGelu, kGelu, kGeluTanh, kSine, kCosine };

// y = op(x), computed in float32. Of equal shape.
void Apply(Unary op, const Strided& x, const Strided& y, Pool& pool);

// y [batch, tokens, features] = x with each pair of neighbouring features rotated, computed in float32. The
// angles of a token's pairs, the same for each head, are rows of cosines and sines [tokens, pairs of a head]
// in float32.
void Rotate(const Strided& x, const Strided& cosines, const Strided& sines, const Strided& y, Pool& pool);

// y [..., width] = rows of table [entries, width] at ids [...]; ids out of range throw std::out_of_range.
void Gather(const Strided& table, const Strided& ids, const Strided& y, Pool& pool);

// y [batch, width] = x [batch, tokens, width] at positions [batch, 2] of (batch, token).
void PickTokens(const Strided& x, const Strided& positions, const Strided& y, Pool& pool);

}  // namespace distri::device::cpu
