#include "bench/onednn.h"

#if defined(DISTRI_HAS_ONEDNN)

#include <omp.h>

#include <functional>
#include <limits>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>
#include <stdexcept>
#include <unordered_map>

#include "device/cpu/bfloat16.h"

namespace distri::bench {
namespace {

using device::cpu::Activation;
using dnnl::memory;
using Tag = memory::format_tag;
using Arguments = std::unordered_map<int, memory>;

// One of oneDNN's primitives, or two in order.
struct Computation {
  std::string name;
  std::vector<dnnl::primitive> primitives;
  std::vector<Arguments> arguments;
};

// Ways to compute a shape.
class Ways {
 public:
  Ways(const ProductShape& shape, device::Type type)
      : shape_(shape),
        tokens_(shape.images * shape.rows * shape.columns),
        type_(type == device::Type::kFloat32 ? memory::data_type::f32 : memory::data_type::bf16) {}

  std::vector<Computation> Find() {
    const bool linear = shape_.kernel == 1;
    const std::vector<void (Ways::*)(Computation&)> kinds =
        linear ? std::vector<void (Ways::*)(Computation&)>{&Ways::AddMatmul, &Ways::AddInnerProduct}
               : std::vector<void (Ways::*)(Computation&)>{};
    std::vector<Computation> found;
    for (const auto kind : kinds) Try(found, kind);
    const std::vector<Tag> images =
        linear ? std::vector<Tag>{Tag::nhwc} : std::vector<Tag>{Tag::nhwc, Tag::any};
    for (const Tag image : images) {
      for (const dnnl::algorithm algorithm :
           {dnnl::algorithm::convolution_direct, dnnl::algorithm::convolution_winograd,
            dnnl::algorithm::convolution_auto}) {
        Try(found, [=](Ways& ways, Computation& to) { ways.AddConvolution(to, algorithm, image); });
      }
    }
    return found;
  }

  const dnnl::engine& engine() const { return engine_; }

 private:
  // What oneDNN has no implementation of is no way.
  template <class Add>
  void Try(std::vector<Computation>& found, const Add& add) {
    try {
      Computation computation;
      gates_ = shape_.activation == Activation::kGeglu;
      results_ = gates_ ? shape_.features / 2 : shape_.features;
      std::invoke(add, *this, computation);
      if (gates_) {
        gates_ = false;
        std::invoke(add, *this, computation);
      }
      found.push_back(std::move(computation));
    } catch (const dnnl::error&) {
    }
  }

  // Of the first product with GEGLU the gates; of the second, what they multiply.
  dnnl::primitive_attr Attributes(const memory::desc& y) const {
    dnnl::post_ops after;
    switch (shape_.activation) {
      case Activation::kNone:
        break;
      case Activation::kSilu:
        after.append_eltwise(1, dnnl::algorithm::eltwise_swish, 1, 0);
        break;
      case Activation::kQuickGelu:
        after.append_eltwise(1, dnnl::algorithm::eltwise_swish, 1.702f, 0);
        break;
      case Activation::kGelu:
        after.append_eltwise(1, dnnl::algorithm::eltwise_gelu_erf, 0, 0);
        break;
      case Activation::kGeluTanh:
        after.append_eltwise(1, dnnl::algorithm::eltwise_gelu_tanh, 0, 0);
        break;
      case Activation::kGeglu:
        if (gates_)
          after.append_eltwise(1, dnnl::algorithm::eltwise_gelu_erf, 0, 0);
        else
          after.append_binary(dnnl::algorithm::binary_mul, y);
        break;
    }
    // Into what is there: one operand less than ours has.
    if (shape_.residual) after.append_sum(1);
    dnnl::primitive_attr attributes;
    attributes.set_post_ops(after);
    return attributes;
  }

  void AddMatmul(Computation& to) {
    const memory::desc x({tokens_, shape_.inner}, type_, Tag::ab);
    const memory::desc weights({shape_.inner, results_}, type_, Tag::any);
    const memory::desc bias({1, results_}, memory::data_type::f32, Tag::ab);
    const memory::desc y({tokens_, results_}, type_, Tag::ab);
    const dnnl::matmul::primitive_desc made({x, weights, bias, y}, Attributes(y), engine_);
    Add(to, "matmul", made, dnnl::matmul(made));
  }

  void AddInnerProduct(Computation& to) {
    const memory::desc x({tokens_, shape_.inner}, type_, Tag::ab);
    const memory::desc weights({results_, shape_.inner}, type_, Tag::any);
    const memory::desc bias({results_}, memory::data_type::f32, Tag::a);
    const memory::desc y({tokens_, results_}, type_, Tag::ab);
    const dnnl::inner_product_forward::desc wanted(dnnl::prop_kind::forward_inference, x, weights, bias, y);
    const dnnl::inner_product_forward::primitive_desc made(wanted, Attributes(y), engine_);
    Add(to, "inner product", made, dnnl::inner_product_forward(made));
  }

  void AddConvolution(Computation& to, dnnl::algorithm algorithm, Tag image) {
    const auto& s = shape_;
    const memory::dim padding = s.kernel == 1 ? 0 : 1;
    const memory::desc x({s.images, s.inner, s.rows * s.stride, s.columns * s.stride}, type_, image);
    const memory::desc weights({results_, s.inner, s.kernel, s.kernel}, type_, Tag::any);
    const memory::desc bias({results_}, memory::data_type::f32, Tag::a);
    const memory::desc y({s.images, results_, s.rows, s.columns}, type_, image);
    const memory::dim after = s.stride == 1 ? padding : 0;
    const dnnl::convolution_forward::desc wanted(dnnl::prop_kind::forward_inference, algorithm, x, weights,
                                                 bias, y, {s.stride, s.stride}, {padding, padding},
                                                 {after, after});
    const dnnl::convolution_forward::primitive_desc made(wanted, Attributes(y), engine_);
    const std::string layout = image == Tag::any ? ", own layout" : "";
    const std::string name = algorithm == dnnl::algorithm::convolution_direct     ? "direct"
                             : algorithm == dnnl::algorithm::convolution_winograd ? "Winograd"
                                                                                  : "auto";
    Add(to, name + layout, made, dnnl::convolution_forward(made));
  }

  template <class Made>
  void Add(Computation& to, const std::string& name, const Made& made, const dnnl::primitive& primitive) {
    Arguments arguments{{DNNL_ARG_SRC, memory(made.src_desc(), engine_)},
                        {DNNL_ARG_WEIGHTS, memory(made.weights_desc(), engine_)},
                        {DNNL_ARG_BIAS, memory(made.bias_desc(), engine_)},
                        {DNNL_ARG_DST, memory(made.dst_desc(), engine_)}};
    for (auto& [place, operand] : arguments) Fill(operand);
    if (!to.arguments.empty()) {
      arguments.at(DNNL_ARG_SRC) = to.arguments.front().at(DNNL_ARG_SRC);
      arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1,
                        to.arguments.front().at(DNNL_ARG_DST));
    }
    to.name = name + (to.primitives.empty() ? "" : " twice");
    to.primitives.push_back(primitive);
    to.arguments.push_back(std::move(arguments));
  }

  // With values as different from each other as those that ours has: others take less power, and less time.
  static void Fill(memory& operand) {
    const size_t bytes = operand.get_desc().get_size();
    std::minstd_rand random(1);
    const auto next = [&] { return static_cast<float>(random() % 2000) / 1000.0f - 1.0f; };
    if (operand.get_desc().data_type() == memory::data_type::f32) {
      auto* data = static_cast<float*>(operand.get_data_handle());
      for (size_t i = 0; i < bytes / sizeof *data; ++i) data[i] = next();
    } else {
      auto* data = static_cast<uint16_t*>(operand.get_data_handle());
      for (size_t i = 0; i < bytes / sizeof *data; ++i) data[i] = device::cpu::ToBFloat16(next());
    }
  }

  const ProductShape& shape_;
  memory::dim tokens_;
  memory::data_type type_;
  bool gates_ = false;
  memory::dim results_ = 0;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
};

class Fastest : public OneDnn {
 public:
  Fastest(const ProductShape& shape, device::Type type, int threads) : threads_(threads) {
    omp_set_num_threads(threads);
    Ways ways(shape, type);
    stream_ = dnnl::stream(ways.engine());
    double least = std::numeric_limits<double>::infinity();
    for (Computation& way : ways.Find()) {
      constexpr int kTries = 4;
      const double seconds = Best(TimeCalls({[&] { Execute(way); }, {}, {}}, kTries));
      if (seconds >= least) continue;
      least = seconds;
      computation_ = std::move(way);
    }
    if (computation_.primitives.empty()) throw std::invalid_argument("oneDNN has no primitive for a layer");
    for (const Arguments& arguments : computation_.arguments) {
      const memory& weights = arguments.at(DNNL_ARG_WEIGHTS);
      weights_.push_back(
          {static_cast<const std::byte*>(weights.get_data_handle()), weights.get_desc().get_size()});
    }
  }

  void Run() override {
    omp_set_num_threads(threads_);
    Execute(computation_);
  }
  const std::string& name() const override { return computation_.name; }
  const std::vector<Range>& weights() const override { return weights_; }

 private:
  void Execute(const Computation& computation) {
    for (size_t i = 0; i < computation.primitives.size(); ++i)
      computation.primitives[i].execute(stream_, computation.arguments[i]);
    stream_.wait();
  }

  int threads_;
  dnnl::stream stream_;
  Computation computation_;
  std::vector<Range> weights_;
};

}  // namespace

std::unique_ptr<OneDnn> OneDnn::Make(const ProductShape& shape, device::Type type, int threads) {
  return std::make_unique<Fastest>(shape, type, threads);
}

}  // namespace distri::bench

#else

namespace distri::bench {

std::unique_ptr<OneDnn> OneDnn::Make(const ProductShape&, device::Type, int) { return nullptr; }

}  // namespace distri::bench

#endif
