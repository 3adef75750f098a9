// How fast products are that UNets of SDXL's kind spend their time in, at 512 pixels and with guidance,
// beside oneDNN's where its library is: `distri_product_bench [repetitions] [words of a shape's line]`.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bench/onednn.h"
#include "device/cpu/bfloat16.h"
#include "device/cpu/pool.h"
#include "device/cpu/product.h"

namespace distri::bench {
namespace {

using namespace device;
using namespace device::cpu;

ProductShape Conv(int64_t size, int64_t inner, int64_t features, int64_t stride = 1) {
  return {2, size, size, inner, features, 3, stride, false};
}

ProductShape Linear(int64_t tokens, int64_t inner, int64_t features, bool geglu = false) {
  return {1, 1, tokens, inner, features, 1, 1, geglu};
}

std::string Name(const ProductShape& s) {
  const std::string sizes = std::to_string(s.inner) + "->" + std::to_string(s.features);
  if (s.kernel == 1) return "linear " + std::to_string(s.columns) + "x" + sizes + (s.geglu ? " GEGLU" : "");
  return "conv " + std::to_string(s.rows) + "x" + std::to_string(s.columns) + " " + sizes +
         (s.stride == 2 ? " stride 2" : "");
}

double Operations(const ProductShape& s) {
  return 2.0 *
         static_cast<double>(s.images * s.rows * s.columns * s.features * s.kernel * s.kernel * s.inner);
}

struct Free {
  void operator()(std::byte* data) const { std::free(data); }
};
using Memory = std::unique_ptr<std::byte, Free>;

// From -scale to scale.
Memory Values(Type type, int64_t count, float scale) {
  const size_t bytes = (static_cast<size_t>(count) * ItemBytes(type) + 63) / 64 * 64;
  Memory memory(static_cast<std::byte*>(std::aligned_alloc(64, bytes)));
  std::minstd_rand random(1);
  for (int64_t i = 0; i < count; ++i) {
    const float value = scale * (static_cast<float>(random() % 2000) / 1000.0f - 1.0f);
    if (type == Type::kFloat32)
      reinterpret_cast<float*>(memory.get())[i] = value;
    else
      reinterpret_cast<uint16_t*>(memory.get())[i] = ToBFloat16(value);
  }
  return memory;
}

// A product with all that it needs.
class Ours {
 public:
  Ours(const ProductShape& s, Type type, Pool& pool) : pool_(pool) {
    const int64_t in_rows = (s.rows - 1) * s.stride + s.kernel;
    const int64_t in_columns = (s.columns - 1) * s.stride + s.kernel;
    const int64_t results = s.geglu ? s.features / 2 : s.features;
    x_ = Values(type, s.images * in_rows * in_columns * s.inner, 1);
    y_ = Values(type, s.images * s.rows * s.columns * results, 1);
    bias_.assign(static_cast<size_t>(s.features), 0.5f);
    for (int64_t row = 0; row < s.kernel; ++row)
      for (int64_t column = 0; column < s.kernel; ++column)
        offsets_.push_back((row * in_columns + column) * s.inner);
    product_.positions = {s.images, s.rows, s.columns};
    product_.x = {x_.get(), type, in_rows * in_columns * s.inner, s.stride * in_columns * s.inner,
                  s.stride * s.inner};
    product_.segment_offsets = offsets_.data();
    product_.weights = {s.features, s.kernel * s.kernel, s.inner, type, s.geglu};
    product_.bias = bias_.data();
    product_.activation = s.geglu ? Activation::kGeglu : Activation::kNone;
    product_.result = {y_.get(), type, s.rows * s.columns * results, s.columns * results, results};
    Pack(s, type);
  }

  void Run() { device::cpu::Run(product_, pool_); }

 private:
  void Pack(const ProductShape& s, Type type) {
    const int64_t segments = s.kernel * s.kernel;
    // Sums of the size that activations are made for: far from it some are denormal, and slow.
    const float scale = 2 / std::sqrt(static_cast<float>(segments * s.inner));
    const Memory weights = Values(type, s.features * segments * s.inner, scale);
    packed_.reset(static_cast<std::byte*>(std::aligned_alloc(64, PackedBytes(product_.weights))));
    PackWeights(product_.weights, {weights.get(), type, segments * s.inner, 1, segments}, packed_.get(),
                pool_);
    product_.packed = packed_.get();
  }

  Pool& pool_;
  Memory x_;
  Memory y_;
  Memory packed_;
  std::vector<float> bias_;
  std::vector<int64_t> offsets_;
  Product product_;
};

struct Seconds {
  double best;
  double median;
};

// One after the other, as in a step: what one reads last is in no cache that the next call could profit from
// more than a step does.
template <class Function>
Seconds Measure(int repetitions, const Function& function) {
  // Threads of others' pools spin a while before they sleep.
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  function();
  std::vector<double> seconds;
  for (int i = 0; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    function();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds.front(), seconds[seconds.size() / 2]};
}

void Compare(const ProductShape& shape, Type type, int threads, int repetitions) {
  const double giga = Operations(shape) / 1e9;
  Pool pool(threads);
  Ours ours(shape, type, pool);
  const Seconds own = Measure(repetitions, [&] { ours.Run(); });
  std::printf("%-34s %-8s %d %9.1f %9.1f", Name(shape).c_str(),
              type == Type::kFloat32 ? "float32" : "bfloat16", threads, giga / own.best, giga / own.median);
  if (const std::unique_ptr<OneDnn> other = OneDnn::Make(shape, type, threads)) {
    const Seconds theirs = Measure(repetitions, [&] { other->Run(); });
    std::printf(" %9.1f %9.1f %6.2f", giga / theirs.best, giga / theirs.median, theirs.best / own.best);
  }
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace
}  // namespace distri::bench

int main(int argc, char** argv) {
  using namespace distri::bench;
  const int repetitions = argc > 1 ? std::max(1, std::atoi(argv[1])) : 20;
  const std::vector<ProductShape> shapes = {
      Conv(64, 320, 320),      Conv(64, 640, 320),      Conv(64, 960, 320),
      Conv(32, 320, 320, 2),   Conv(32, 320, 640),      Conv(32, 640, 640),
      Conv(32, 960, 640),      Conv(32, 1920, 640),     Conv(16, 640, 1280),
      Conv(16, 1280, 1280),    Conv(16, 2560, 1280),    Linear(8192, 320, 2560, true),
      Linear(8192, 1280, 320), Linear(2048, 640, 640),  Linear(2048, 640, 5120, true),
      Linear(2048, 2560, 640), Linear(512, 1280, 1280), Linear(512, 1280, 10240, true),
      Linear(512, 5120, 1280), Linear(154, 2048, 1280), Linear(2, 1280, 640)};
  std::printf(
      "GFLOP/s: shape, type, threads, best and median; oneDNN's best and median, and how often as fast ours "
      "is\n");
  for (const ProductShape& shape : shapes)
    for (const distri::device::Type type : {distri::device::Type::kFloat32, distri::device::Type::kBFloat16})
      for (const int threads : {1, 2}) {
        const std::string line = Name(shape) +
                                 (type == distri::device::Type::kFloat32 ? " float32 " : " bfloat16 ") +
                                 std::to_string(threads);
        const auto has = [&](const char* word) { return line.find(word) != std::string::npos; };
        if (std::all_of(argv + std::min(argc, 2), argv + argc, has))
          Compare(shape, type, threads, repetitions);
      }
}
