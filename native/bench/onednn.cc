#include "bench/onednn.h"

#if defined(DISTRI_HAS_ONEDNN)

#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <random>
#include <unordered_map>

#include "device/cpu/bfloat16.h"

namespace distri::bench {
namespace {

using dnnl::memory;

// A primitive with its operands, in the formats that our own products have; weights in that which oneDNN
// prefers.
class Primitive : public OneDnn {
 public:
  Primitive(const ProductShape& shape, device::Type type, int threads)
      : threads_(threads),
        type_(type == device::Type::kFloat32 ? memory::data_type::f32 : memory::data_type::bf16) {
    omp_set_num_threads(threads);
    if (shape.kernel == 1)
      MakeMatmul(shape);
    else
      MakeConvolution(shape);
  }

  void Run() override {
    omp_set_num_threads(threads_);
    primitive_.execute(stream_, arguments_);
    stream_.wait();
  }

 private:
  using Tag = memory::format_tag;

  void MakeMatmul(const ProductShape& s) {
    const memory::dim tokens = s.images * s.rows * s.columns;
    const memory::desc x({tokens, s.inner}, type_, Tag::ab);
    const memory::desc weights({s.inner, s.features}, type_, Tag::any);
    const memory::desc bias({1, s.features}, memory::data_type::f32, Tag::ab);
    const memory::desc y({tokens, s.features}, type_, Tag::ab);
    const dnnl::matmul::primitive_desc made({x, weights, bias, y}, engine_);
    primitive_ = dnnl::matmul(made);
    Allocate(made);
  }

  void MakeConvolution(const ProductShape& s) {
    const memory::dim rows = s.rows * s.stride;
    const memory::dim columns = s.columns * s.stride;
    const memory::desc x({s.images, s.inner, rows, columns}, type_, Tag::nhwc);
    const memory::desc weights({s.features, s.inner, s.kernel, s.kernel}, type_, Tag::any);
    const memory::desc bias({s.features}, memory::data_type::f32, Tag::a);
    const memory::desc y({s.images, s.features, s.rows, s.columns}, type_, Tag::nhwc);
    const memory::dims strides{s.stride, s.stride};
    const memory::dims before{1, 1};
    const memory::dims after{s.stride == 1 ? 1 : 0, s.stride == 1 ? 1 : 0};
    const dnnl::convolution_forward::desc wanted(dnnl::prop_kind::forward_inference,
                                                 dnnl::algorithm::convolution_direct, x, weights, bias, y,
                                                 strides, before, after);
    const dnnl::convolution_forward::primitive_desc made(wanted, engine_);
    primitive_ = dnnl::convolution_forward(made);
    Allocate(made);
  }

  template <class Made>
  void Allocate(const Made& made) {
    arguments_ = {{DNNL_ARG_SRC, memory(made.src_desc(), engine_)},
                  {DNNL_ARG_WEIGHTS, memory(made.weights_desc(), engine_)},
                  {DNNL_ARG_BIAS, memory(made.bias_desc(), engine_)},
                  {DNNL_ARG_DST, memory(made.dst_desc(), engine_)}};
    for (auto& [name, operand] : arguments_) {
      const size_t bytes = operand.get_desc().get_size();
      if (operand.get_desc().data_type() == memory::data_type::f32)
        Fill(static_cast<float*>(operand.get_data_handle()), bytes, [](float value) { return value; });
      else
        Fill(static_cast<uint16_t*>(operand.get_data_handle()), bytes, device::cpu::ToBFloat16);
    }
  }

  // With values as different from each other as those that ours has: others take less power, and less time.
  template <class Value, class Convert>
  static void Fill(Value* data, size_t bytes, const Convert& convert) {
    std::minstd_rand random(1);
    for (size_t i = 0; i < bytes / sizeof *data; ++i)
      data[i] = convert(static_cast<float>(random() % 2000) / 1000.0f - 1.0f);
  }

  int threads_;
  memory::data_type type_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::primitive primitive_;
  std::unordered_map<int, memory> arguments_;
};

}  // namespace

std::unique_ptr<OneDnn> OneDnn::Make(const ProductShape& shape, device::Type type, int threads) {
  return std::make_unique<Primitive>(shape, type, threads);
}

}  // namespace distri::bench

#else

namespace distri::bench {

std::unique_ptr<OneDnn> OneDnn::Make(const ProductShape&, device::Type, int) { return nullptr; }

}  // namespace distri::bench

#endif
