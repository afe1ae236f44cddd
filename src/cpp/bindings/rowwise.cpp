#include "../kernels/rowwise.hpp"

#include "arrays.hpp"

namespace pyloss::bindings {

namespace {

RowComponent component(const std::string& name, std::vector<double> parameters, std::vector<double> class_weight, double label_smoothing,
                       double softcap, double temperature, std::optional<std::int64_t> ignored) {
  const std::size_t entry = find_kernel(rowwise_table(), name, parameters);
  return {entry, std::move(parameters), std::move(class_weight), label_smoothing, softcap, temperature, ignored};
}

std::vector<double> rowwise(const std::vector<RowComponent>& components, const Operand& scores, const MaybeOperand& target,
                            const MaybeOperand& teacher, bool labels, const MaybeOperand& weight, const MaybeOperand& value,
                            const MaybeOperand& grad, const MaybeOperand& hess, const std::vector<std::pair<double, double>>& surrogate,
                            const std::vector<double>& scale, int want, bool float64, int threads) {
  const py::array& array = scores.first;
  std::vector<std::size_t> shape(array.shape(), array.shape() + array.ndim());
  RowwiseCall call;
  call.classes = shape.back();
  call.scores = view(scores, shape);
  call.grad = view(grad, shape);
  call.hess = view(hess, shape);
  call.teacher = view(teacher, shape);
  if (!labels) call.target = view(target, shape);
  shape.pop_back();
  call.rows = 1;
  for (const std::size_t size : shape) call.rows *= size;
  if (labels) call.target = view(target, shape);
  call.weight = view(weight, shape);
  call.value = view(value, shape);
  call.labels = labels;
  for (const auto& [factor, floor] : surrogate) call.surrogate.push_back({.factor = factor, .floor = floor});
  call.scale = scale;
  call.want = static_cast<Want>(want);
  call.float64 = float64;
  call.threads = threads;
  if (scale.size() != components.size() || surrogate.size() != components.size())
    throw std::logic_error("one scale and one surrogate for each term");
  std::vector<double> totals(components.size());
  without_gil([&](Interrupt& interrupt) { return run_rowwise(components, call, interrupt, totals); });
  return totals;
}

}  // namespace

void bind_rowwise(py::module_& m) {
  m.def("rowwise_losses", [] { return parameters_by_name(rowwise_table()); }, "Name -> number of parameters of every rowwise kernel.");

  py::class_<RowComponent>(m, "RowComponent", py::module_local(), "A row loss with its parameters.")
      .def(py::init(&component), py::arg("name"), py::arg("parameters"), py::arg("class_weight"), py::arg("label_smoothing"),
           py::arg("softcap"), py::arg("temperature"), py::arg("ignored"));

  m.def("rowwise", &rowwise, py::arg("components"), py::arg("scores"), py::arg("target"), py::arg("teacher"), py::arg("labels"),
        py::arg("weight"), py::arg("value"), py::arg("grad"), py::arg("hess"), py::arg("surrogate"), py::arg("scale"), py::arg("want"),
        py::arg("float64"), py::arg("threads"));

  m.def(
      "check_labels",
      [](const Operand& labels, const std::vector<std::size_t>& shape, std::size_t classes, const RowComponent& component,
         const MaybeOperand& weight, int threads) {
        const View label_view = view(labels, shape), weight_view = view(weight, shape);
        const Checked checked = without_gil(
            [&](Interrupt& interrupt) { return check_labels(label_view, classes, component, weight_view, threads, interrupt); });
        return py::make_tuple(checked.first_bad, checked.total);
      },
      py::arg("labels"), py::arg("shape"), py::arg("classes"), py::arg("component"), py::arg("weight"), py::arg("threads"),
      "First index of a label that is no class, if any, and the sum of weight times class weight over the rows that count.");
}

}  // namespace pyloss::bindings
