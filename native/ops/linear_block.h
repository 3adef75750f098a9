// Part of a linear layer: the loops that matrix products spend their time in.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace distri::ops {

enum class LinearActivation { kNone = 0, kGeglu = 1 };

// A copy of the weights of a layer in the layout that its loops read: what packing costs otherwise with every
// call is that of 20 tokens more.
class PackedWeights {
 public:
  // `weight` [features, inner] as torch keeps it.
  PackedWeights(const float* weight, size_t inner, size_t features, LinearActivation activation);

  const float* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(float* data) const { std::free(data); }
  };
  std::unique_ptr<float, Free> data_;
};

// A linear layer of tokens that lie one behind the other.
struct LinearLayer {
  const float* x;         // [tokens, inner]
  const float* weight;    // [features, inner], as torch keeps it
  const float* packed;    // the same as PackedWeights has them, or null
  const float* bias;      // [features], or null
  const float* residual;  // like y, added to the result, or null
  float* y;               // [tokens, features], half as many features with kGeglu
  size_t inner;
  size_t features;
  LinearActivation activation;

  size_t OutFeatures() const { return activation == LinearActivation::kGeglu ? features / 2 : features; }
  // The output features fall into panels of a fixed width, the last one narrower.
  size_t Panels() const;
};

// Computes a panel for the tokens first <= token < end. A token's result does not depend on which others are
// computed with it.
void LinearPanel(const LinearLayer& layer, size_t panel, size_t first, size_t end);

}  // namespace distri::ops
