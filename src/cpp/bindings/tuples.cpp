#include "../kernels/tuples.hpp"

#include "arrays.hpp"

namespace pyloss::bindings {

void bind_tuples(py::module_& m) {
  m.def(
      "tuples_losses", [] { return parameters_by_name(tuples_losses()); },
      "Name -> number of parameters of every kernel of given tuples of rows.");

  m.def(
      "tuples",
      [](const std::string& loss, const std::vector<double>& parameters, const std::string& metric, const std::vector<py::array>& inputs,
         const std::vector<std::size_t>& sources, const py::array_t<std::int64_t, py::array::c_style>& indices,
         const std::optional<py::array_t<double, py::array::c_style>>& marks, bool mean, py::array_t<double, py::array::c_style> terms,
         const std::vector<py::array>& grads, int threads) {
        TuplesCall call;
        call.loss = loss;
        call.parameters = parameters;
        call.metric = metric;
        call.sources = sources;
        for (const py::array& input : inputs) call.inputs.push_back(rows_of(input));
        for (const py::array& grad : grads) call.grads.push_back(const_cast<void*>(rows_of(grad).data));
        if (indices.ndim() != 2 || static_cast<std::size_t>(indices.shape(1)) != sources.size())
          throw std::logic_error("an index for each place");
        call.tuples = indices.data();
        call.count = static_cast<std::size_t>(indices.shape(0));
        if (static_cast<std::size_t>(terms.size()) != call.count) throw std::logic_error("a term for each tuple");
        call.marks = marks ? marks->data() : nullptr;
        call.mean = mean;
        call.terms = terms.mutable_data();
        call.threads = threads;
        double value = 0.0;
        without_gil([&](Interrupt& interrupt) { return run_tuples(call, interrupt, value); });
        return value;
      },
      py::arg("loss"), py::arg("parameters"), py::arg("metric"), py::arg("inputs"), py::arg("sources"), py::arg("indices"),
      py::arg("marks"), py::arg("mean"), py::arg("terms"), py::arg("grads"), py::arg("threads"));
}

}  // namespace pyloss::bindings
