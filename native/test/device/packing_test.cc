#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "device/checksum.h"
#include "device/cpu/product.h"
#include "test/device/tests.h"

namespace distri::test {
namespace {

using namespace device;
using namespace device::cpu;

// Sums of what is packed by version 1, by lanes of a panel and type.
struct Known {
  Type type;
  int64_t lanes;
  uint64_t sum;
};

constexpr int kVersion = 1;
constexpr Known kKnown[] = {
    {Type::kFloat32, 8, 0x436bbf331c6254f9u},   {Type::kFloat32, 16, 0x3509675b7a0b0221u},
    {Type::kFloat32, 64, 0xc33e3884148d4450u},  {Type::kBFloat16, 8, 0x3113c3f44a37072cu},
    {Type::kBFloat16, 16, 0xe48ee2fa48f009dau}, {Type::kBFloat16, 32, 0xa0d5ee73564b06ccu},
    {Type::kBFloat16, 64, 0x8972db794e2697d4u},
};

// Of a linear layer with GEGLU and of a convolution of several passes, neither of which fills its panels.
uint64_t PackedSum(Type type, Pool& pool) {
  uint64_t sum = 0;
  for (const WeightShape& shape :
       {WeightShape{180, 1, 75, type, true}, WeightShape{70, 9, 1500, type, false}}) {
    std::vector<float> weights(static_cast<size_t>(shape.features * shape.segments * shape.inner));
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i * 2654435761u % 4096) / 64;
    const WeightSource source{reinterpret_cast<const std::byte*>(weights.data()), Type::kFloat32,
                              shape.segments * shape.inner, 1, shape.segments};
    std::vector<std::byte> packed(PackedBytes(shape));
    PackWeights(shape, source, packed.data(), pool);
    sum = 31 * sum + Checksum(packed.data(), packed.size(), pool);
  }
  return sum;
}

// Whoever changes these bytes has to raise the version, or files of older ones would be used.
void PackedWeightsHaveTheBytesOfTheirVersion() {
  Pool pool(2);
  for (const Type type : {Type::kFloat32, Type::kBFloat16}) {
    const auto [version, lanes] = LayoutOf(type);
    Check(version == kVersion, "sums are known of this version");
    const uint64_t sum = PackedSum(type, pool);
    bool found = false;
    for (const Known& known : kKnown) {
      if (known.type != type || known.lanes != lanes) continue;
      found = true;
      Check(known.sum == sum, "what is packed for " + std::to_string(lanes) +
                                  " lanes is of another version: " + std::to_string(sum));
    }
    Check(found, "the sum for " + std::to_string(lanes) + " lanes is known");
  }
}

void AChecksumTellsDamagedBytesFromWholeOnes() {
  Pool pool(3);
  std::vector<std::byte> bytes((size_t{1} << 21) + 13);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 % 251);
  const uint64_t whole = Checksum(bytes.data(), bytes.size(), pool);
  Pool alone(1);
  Check(Checksum(bytes.data(), bytes.size(), alone) == whole, "threads do not matter");
  Check(Checksum(bytes.data(), bytes.size() - 1, pool) != whole, "a byte is missing");
  for (const size_t at : {size_t{0}, size_t{7}, size_t{1} << 20, bytes.size() - 1}) {
    for (const int bit : {0, 7}) {
      bytes[at] ^= static_cast<std::byte>(1 << bit);
      Check(Checksum(bytes.data(), bytes.size(), pool) != whole,
            "bit " + std::to_string(bit) + " of byte " + std::to_string(at) + " is another");
      bytes[at] ^= static_cast<std::byte>(1 << bit);
    }
  }
  std::swap_ranges(bytes.begin(), bytes.begin() + 64, bytes.begin() + 128);
  Check(Checksum(bytes.data(), bytes.size(), pool) != whole, "lines are swapped");
}

const AddTests added({DISTRI_TEST(PackedWeightsHaveTheBytesOfTheirVersion),
                      DISTRI_TEST(AChecksumTellsDamagedBytesFromWholeOnes)});

}  // namespace
}  // namespace distri::test
