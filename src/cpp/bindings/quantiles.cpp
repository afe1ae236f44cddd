#include "../kernels/quantiles.hpp"

#include "arrays.hpp"

namespace pyloss::bindings {

namespace {

using Term = std::pair<std::string, std::vector<double>>;

std::vector<double> quantiles(const std::vector<Term>& terms, const Operand& pred, const Operand& target, const MaybeOperand& weight,
                              const MaybeOperand& value, const MaybeOperand& grad, const MaybeOperand& hess,
                              const std::vector<double>& scale, bool float64, int threads) {
  const py::array& array = pred.first;
  std::vector<std::size_t> shape(array.shape(), array.shape() + array.ndim());
  QuantilesCall call;
  call.quantiles = shape.back();
  call.samples = static_cast<std::size_t>(target.first.shape(target.first.ndim() - 1));
  if (call.quantiles == 0 || call.samples == 0) throw std::logic_error("rows must not be empty");
  call.pred = view(pred, shape);
  call.grad = view(grad, shape);
  call.hess = view(hess, shape);
  shape.back() = call.samples;
  call.target = view(target, shape);
  shape.pop_back();
  call.rows = 1;
  for (const std::size_t size : shape) call.rows *= size;
  call.weight = view(weight, shape);
  call.value = view(value, shape);
  call.scale = scale;
  call.float64 = float64;
  call.threads = threads;
  if (scale.size() != terms.size()) throw std::logic_error("one scale for each term");
  std::vector<QuantileComponent> components;
  for (const auto& [name, parameters] : terms) components.push_back({name, parameters});
  std::vector<double> totals(terms.size());
  without_gil([&](Interrupt& interrupt) { return run_quantiles(components, call, interrupt, totals); });
  return totals;
}

}  // namespace

void bind_quantiles(py::module_& m) {
  m.def(
      "quantile_losses", [] { return parameters_by_name(quantile_losses()); },
      "Name -> number of parameters of every kernel of quantiles.");

  m.def("quantiles", &quantiles, py::arg("terms"), py::arg("pred"), py::arg("target"), py::arg("weight"), py::arg("value"), py::arg("grad"),
        py::arg("hess"), py::arg("scale"), py::arg("float64"), py::arg("threads"));
}

}  // namespace pyloss::bindings
