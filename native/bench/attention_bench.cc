// Speed of attention in GFLOP/s, and of norms and copies in GB/s, for shapes of real networks:
// `distri_attention_bench [words in the name of a shape]`, with one thread and with two.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "device/cpu/attention.h"
#include "device/cpu/elementwise.h"
#include "device/cpu/norms.h"

namespace distri::device::cpu {
namespace {

using Clock = std::chrono::steady_clock;
using Bytes = std::unique_ptr<std::byte, decltype(&std::free)>;

Bytes Allocate(size_t bytes) {
  return {static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)), &std::free};
}

// An array of normal numbers, [images, tokens, features].
struct Array {
  Strided view;
  Bytes bytes;

  Array(Type type, int64_t images, int64_t tokens, int64_t features, Pool& pool)
      : bytes(Allocate(static_cast<size_t>(images * tokens * features) * ItemBytes(type))) {
    view.data = bytes.get();
    view.type = type;
    view.rank = 3;
    view.shape = {images, tokens, features};
    view.strides = {tokens * features, features, 1};
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> values(4096);
    for (float& value : values) value = normal(random);
    Strided x = view;
    x.data = reinterpret_cast<std::byte*>(values.data());
    x.type = Type::kFloat32;
    x.rank = view.rank = 1;
    x.strides = view.strides = {1};
    const int64_t size = images * tokens * features;
    for (int64_t i = 0; i < size; i += x.shape[0]) {
      x.shape[0] = view.shape[0] = std::min<int64_t>(4096, size - i);
      view.data = bytes.get() + static_cast<size_t>(i) * ItemBytes(type);
      Copy(x, view, pool);
    }
    view.data = bytes.get();
    view.rank = 3;
    view.shape = {images, tokens, features};
    view.strides = {tokens * features, features, 1};
  }

  Tokens AsTokens() const { return {view.data, view.type, view.shape[1], view.strides[0], view.strides[1]}; }
};

// Seconds of the fastest of several runs: others may use the machine as well.
double Fastest(const std::function<void()>& run) {
  constexpr double kSeconds = 0.4;
  run();
  double fastest = 1e9;
  const Clock::time_point start = Clock::now();
  for (int runs = 0; runs < 3 || std::chrono::duration<double>(Clock::now() - start).count() < kSeconds;
       ++runs) {
    const Clock::time_point begin = Clock::now();
    run();
    fastest = std::min(fastest, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return fastest;
}

struct Shape {
  const char* name;
  int64_t images;
  int64_t heads;
  int64_t head_size;
  int64_t queries;
  int64_t keys;
  bool biased;
};

constexpr Shape kShapes[] = {
    {"SDXL 512 px, 10 heads, 1024", 2, 10, 64, 1024, 1024, false},
    {"SDXL 512 px, 20 heads, 256", 2, 20, 64, 256, 256, false},
    {"SDXL 512 px, 10 heads, text", 2, 10, 64, 1024, 77, false},
    {"PixArt 512 px, 16 heads, 1024", 2, 16, 72, 1024, 1024, false},
    {"PixArt 512 px, 16 heads, text", 2, 16, 72, 1024, 120, true},
    {"SDXL 1024 px, 10 heads, 4096", 2, 10, 64, 4096, 4096, false},
    {"SDXL 1024 px, 20 heads, 1024", 2, 20, 64, 1024, 1024, false},
    {"VAE 512 px, 1 head of 512, 4096", 1, 1, 512, 4096, 4096, false},
};

double SpeedOf(const Shape& shape, Type type, Pool& pool) {
  const int64_t width = shape.heads * shape.head_size;
  const Array query(type, shape.images, shape.queries, width, pool);
  const Array key(type, shape.images, shape.keys, width, pool);
  const Array value(type, shape.images, shape.keys, width, pool);
  const Array result(type, shape.images, shape.queries, width, pool);
  const std::vector<float> biases(static_cast<size_t>(shape.keys), -1.0f);
  const Tokens keys = key.AsTokens();
  const Tokens values = value.AsTokens();
  Attention attention;
  attention.images = shape.images;
  attention.heads = shape.heads;
  attention.head_size = shape.head_size;
  attention.scale = 1 / std::sqrt(static_cast<float>(shape.head_size));
  attention.query = query.AsTokens();
  attention.keys = &keys;
  attention.values = &values;
  attention.parts = 1;
  attention.result = result.AsTokens();
  if (shape.biased) {
    attention.bias.data = reinterpret_cast<std::byte*>(const_cast<float*>(biases.data()));
    attention.bias.rank = 4;
    attention.bias.shape = {1, 1, 1, shape.keys};
    attention.bias.strides = {0, 0, 0, 1};
  }
  const Bytes work = Allocate(WorkBytes(attention, pool));
  const double seconds = Fastest([&] { Run(attention, work.get(), pool); });
  return 4e-9 * static_cast<double>(shape.images * width * shape.queries * shape.keys) / seconds;
}

// What is read and written once, in bytes, and how.
struct Pass {
  std::string name;
  std::function<double(Type type, Pool& pool)> speed;
};

double Gigabytes(const Array& x, double times) {
  return 1e-9 * times * static_cast<double>(x.view.shape[0] * x.view.shape[1] * x.view.shape[2]) *
         static_cast<double>(ItemBytes(x.view.type));
}

Image AsImage(const Array& x, int64_t rows) {
  const int64_t columns = x.view.shape[1] / rows;
  return {x.view.data,     x.view.type,       x.view.shape[0],           rows,           columns,
          x.view.shape[2], x.view.strides[0], columns * x.view.shape[2], x.view.shape[2]};
}

// Images of 64 x 64 as large as SDXL's at 512 px.
constexpr int64_t kRows = 64;
constexpr int64_t kPixels = kRows * kRows;
constexpr int64_t kGroups = 32;

double SumSpeed(int64_t channels, Type type, Pool& pool) {
  const Array x(type, 2, kPixels, channels, pool);
  std::vector<Sums> sums(static_cast<size_t>(2 * kRows * kGroups));
  return Gigabytes(x, 1) / Fastest([&] { SumRows(AsImage(x, kRows), kGroups, sums.data(), pool); });
}

double GroupSpeed(int64_t channels, bool silu, Type type, Pool& pool) {
  const Array x(type, 2, kPixels, channels, pool);
  const Array y(type, 2, kPixels, channels, pool);
  const std::vector<Moments> moments(static_cast<size_t>(2 * kGroups), Moments{0.1f, 0.9f});
  const std::vector<float> scale(static_cast<size_t>(channels), 1.1f);
  return Gigabytes(x, 2) / Fastest([&] {
           NormalizeGroups(AsImage(x, kRows), AsImage(y, kRows), kGroups, moments.data(), 1e-5f, scale.data(),
                           scale.data(), silu, pool);
         });
}

double LayerSpeed(int64_t features, Type type, Pool& pool) {
  const Array x(type, 2, 1024, features, pool);
  const Array y(type, 2, 1024, features, pool);
  const std::vector<float> scale(static_cast<size_t>(features), 1.1f);
  LayerNorm norm;
  norm.x = {x.view.data, type, 2048, features, features};
  norm.y = {y.view.data, type, 2048, features, features};
  norm.epsilon = 1e-5f;
  norm.scale = norm.shift = scale.data();
  return Gigabytes(x, 2) / Fastest([&] { Run(norm, pool); });
}

double CopySpeed(Type to, bool transposed, Type type, Pool& pool) {
  const Array x(type, 2, 1024, 1280, pool);
  const Array y(to, 2, 1024, 1280, pool);
  Strided from = x.view;
  Strided target = y.view;
  if (transposed) {
    std::swap(from.shape[1], from.shape[2]);
    std::swap(from.strides[1], from.strides[2]);
    target.shape = from.shape;
    target.strides = {1024 * 1280, 1024, 1};
  }
  return (Gigabytes(x, 1) + Gigabytes(y, 1)) / Fastest([&] { Copy(from, target, pool); });
}

double AddSpeed(Type type, Pool& pool) {
  const Array x(type, 2, 1024, 1280, pool);
  const Array y(type, 2, 1024, 1280, pool);
  return Gigabytes(x, 3) / Fastest([&] { Combine(Binary::kAdd, x.view, y.view, y.view, pool); });
}

double ApplySpeed(Unary op, Type type, Pool& pool) {
  const Array x(type, 2, 1024, 1280, pool);
  return Gigabytes(x, 2) / Fastest([&] { Apply(op, x.view, x.view, pool); });
}

std::vector<Pass> Passes() {
  std::vector<Pass> passes;
  for (const int64_t channels : {320, 640}) {
    const std::string width = " of " + std::to_string(channels);
    passes.push_back({"sums of rows" + width, [=](Type t, Pool& p) { return SumSpeed(channels, t, p); }});
    passes.push_back({"groups" + width, [=](Type t, Pool& p) { return GroupSpeed(channels, false, t, p); }});
    passes.push_back(
        {"groups, SiLU" + width, [=](Type t, Pool& p) { return GroupSpeed(channels, true, t, p); }});
  }
  passes.push_back({"layers of 640", [](Type t, Pool& p) { return LayerSpeed(640, t, p); }});
  passes.push_back({"layers of 1152", [](Type t, Pool& p) { return LayerSpeed(1152, t, p); }});
  passes.push_back({"copy", [](Type t, Pool& p) { return CopySpeed(t, false, t, p); }});
  passes.push_back(
      {"copy from float32", [](Type t, Pool& p) { return CopySpeed(t, false, Type::kFloat32, p); }});
  passes.push_back({"copy, transposed", [](Type t, Pool& p) { return CopySpeed(t, true, t, p); }});
  passes.push_back({"add", AddSpeed});
  passes.push_back({"SiLU", [](Type t, Pool& p) { return ApplySpeed(Unary::kSilu, t, p); }});
  passes.push_back({"GELU", [](Type t, Pool& p) { return ApplySpeed(Unary::kGelu, t, p); }});
  return passes;
}

template <class Speed>
void Print(const std::string& name, const char* wanted, Pool& one, Pool& two, const Speed& speed) {
  if (name.find(wanted) == std::string::npos) return;
  std::printf("| %-32s |", name.c_str());
  for (const Type type : {Type::kFloat32, Type::kBFloat16}) {
    for (Pool* pool : {&one, &two}) std::printf(" %8.1f |", speed(type, *pool));
  }
  std::printf("\n");
  std::fflush(stdout);
}

void PrintAll(const char* wanted) {
  Pool one(1);
  Pool two(2);
  std::printf("| GFLOP/s, then GB/s               | f32, 1 t | f32, 2 t | bf16, 1  | bf16, 2  |\n");
  for (const Shape& shape : kShapes) {
    Print(shape.name, wanted, one, two, [&](Type type, Pool& pool) { return SpeedOf(shape, type, pool); });
  }
  for (const Pass& pass : Passes()) Print(pass.name, wanted, one, two, pass.speed);
}

}  // namespace
}  // namespace distri::device::cpu

int main(int argc, char** argv) {
  distri::device::cpu::PrintAll(argc > 1 ? argv[1] : "");
  return 0;
}
