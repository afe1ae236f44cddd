#include "../kernels/lovasz.hpp"

#include "arrays.hpp"

namespace pyloss::bindings {

void bind_lovasz(py::module_& m) {
  m.def(
      "lovasz_losses", [] { return parameters_by_name(lovasz_losses()); },
      "Name -> number of parameters of every kernel of sorted errors.");

  m.def(
      "lovasz",
      [](const std::string& loss, const Operand& pred, const Operand& target, bool labels, const MaybeOperand& weight,
         const MaybeOperand& value, const MaybeOperand& grad, double scale, bool float64, int threads) {
        const std::vector<std::size_t> shape(pred.first.shape(), pred.first.shape() + pred.first.ndim());
        if (shape.size() < 2) throw std::logic_error("pred has no axis of classes");
        LovaszCall call;
        call.loss = loss;
        call.samples = shape[0];
        call.classes = shape[1];
        call.elements = 1;
        call.labels = labels;
        for (std::size_t i = 2; i < shape.size(); ++i) call.elements *= shape[i];
        call.pred = view(pred, shape);
        call.target = view(target, shape);
        call.grad = view(grad, shape);
        call.weight = view(weight, {call.samples});
        call.value = view(value, {call.samples});
        call.scale = scale;
        call.float64 = float64;
        call.threads = threads;
        double total = 0.0;
        without_gil([&](Interrupt& interrupt) { return run_lovasz(call, interrupt, total); });
        return total;
      },
      py::arg("loss"), py::arg("pred"), py::arg("target"), py::arg("labels"), py::arg("weight"), py::arg("value"), py::arg("grad"),
      py::arg("scale"), py::arg("float64"), py::arg("threads"));
}

}  // namespace pyloss::bindings
