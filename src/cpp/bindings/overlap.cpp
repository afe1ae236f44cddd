#include "../kernels/overlap.hpp"

#include "arrays.hpp"

namespace pyloss::bindings {

namespace {

using Term = std::pair<std::string, std::vector<double>>;

std::vector<double> run(const std::vector<Term>& terms, const Operand& pred, const Operand& target, bool per_class, bool together,
                        bool squared, bool logits, const MaybeOperand& weight, const MaybeOperand& value, const MaybeOperand& grad,
                        const std::vector<double>& scale, bool float64, int threads) {
  const py::array& array = pred.first;
  const std::vector<std::size_t> shape(array.shape(), array.shape() + array.ndim());
  OverlapCall call;
  call.samples = shape.front();
  call.classes = per_class ? shape.back() : 1;
  call.elements = 1;
  for (std::size_t i = 1; i < shape.size() - (per_class ? 1 : 0); ++i) call.elements *= shape[i];
  call.pred = view(pred, shape);
  call.target = view(target, shape);
  call.grad = view(grad, shape);
  std::vector<std::size_t> masks{call.samples};
  if (per_class) masks.push_back(call.classes);
  call.weight = view(weight, masks);
  if (together) masks.erase(masks.begin());
  call.value = view(value, masks);
  call.together = together;
  call.squared = squared;
  call.logits = logits;
  call.scale = scale;
  call.float64 = float64;
  call.threads = threads;
  if (scale.size() != terms.size()) throw std::logic_error("one scale for each term");
  std::vector<OverlapComponent> components;
  for (const auto& [name, parameters] : terms) components.push_back({find_kernel(overlap_table(), name, parameters), parameters});
  std::vector<double> totals(terms.size());
  without_gil([&](Interrupt& interrupt) { return run_overlap(components, call, interrupt, totals); });
  return totals;
}

}  // namespace

void bind_overlap(py::module_& m) {
  m.def(
      "overlap_losses", [] { return parameters_by_name(overlap_table()); },
      "Name -> number of parameters of every kernel of overlapping masks.");

  m.def("overlap", &run, py::arg("terms"), py::arg("pred"), py::arg("target"), py::arg("per_class"), py::arg("together"),
        py::arg("squared"), py::arg("logits"), py::arg("weight"), py::arg("value"), py::arg("grad"), py::arg("scale"), py::arg("float64"),
        py::arg("threads"));
}

}  // namespace pyloss::bindings
