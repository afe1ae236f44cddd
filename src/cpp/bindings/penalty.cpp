#include "../kernels/penalty.hpp"

#include "arrays.hpp"

namespace pyloss::bindings {

void bind_penalty(py::module_& m) {
  m.def(
      "penalty_losses",
      [] { return by_name(penalty_table(), [](const PenaltyEntry& entry) { return py::make_tuple(entry.parameters, entry.inputs); }); },
      "Name -> (number of parameters, number of inputs) of every kernel of weights.");

  m.def(
      "penalty",
      [](const std::string& loss, const std::vector<double>& parameters, const std::vector<Operand>& inputs, const MaybeOperand& grad,
         const MaybeOperand& hess, int want, double step, bool float64, int threads) {
        const py::array& weights = inputs.at(0).first;
        const std::vector<std::size_t> shape(weights.shape(), weights.shape() + weights.ndim());
        PenaltyCall call;
        call.loss = loss;
        call.parameters = parameters;
        for (const Operand& input : inputs) call.inputs.push_back(view(input, shape));
        call.grad = view(grad, shape);
        call.hess = view(hess, shape);
        call.want = static_cast<PenaltyWant>(want);
        call.step = step;
        call.float64 = float64;
        call.threads = threads;
        double value = 0.0;
        without_gil([&](Interrupt& interrupt) { return run_penalty(call, interrupt, value); });
        return value;
      },
      py::arg("loss"), py::arg("parameters"), py::arg("inputs"), py::arg("grad"), py::arg("hess"), py::arg("want"), py::arg("step"),
      py::arg("float64"), py::arg("threads"));
}

}  // namespace pyloss::bindings
