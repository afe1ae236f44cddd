#include "../kernels/boxes.hpp"

#include "arrays.hpp"

namespace pyloss::bindings {

void bind_boxes(py::module_& m) {
  m.def("box_losses", [] { return parameters_by_name(box_losses()); }, "Name -> number of parameters of every kernel of boxes.");

  m.def(
      "boxes",
      [](const std::string& kind, int format, double eps, const Operand& pred, const Operand& target, const MaybeOperand& weight,
         const MaybeOperand& value, const MaybeOperand& grad, double scale, int threads) {
        std::vector<std::size_t> shape(pred.first.shape(), pred.first.shape() + pred.first.ndim());
        if (shape.empty() || shape.back() != 4) throw std::logic_error("a box has four numbers");
        BoxCall call;
        call.kind = kind;
        call.format = static_cast<BoxFormat>(format);
        call.eps = eps;
        call.pred = view(pred, shape);
        call.target = view(target, shape);
        call.grad = view(grad, shape);
        shape.pop_back();
        call.boxes = 1;
        for (const std::size_t size : shape) call.boxes *= size;
        call.weight = view(weight, shape);
        call.value = view(value, shape);
        call.scale = scale;
        call.threads = threads;
        double total = 0.0;
        without_gil([&](Interrupt& interrupt) { return run_boxes(call, interrupt, total); });
        return total;
      },
      py::arg("kind"), py::arg("format"), py::arg("eps"), py::arg("pred"), py::arg("target"), py::arg("weight"), py::arg("value"),
      py::arg("grad"), py::arg("scale"), py::arg("threads"));

  m.def(
      "box_matrix",
      [](const std::string& kind, int format, const Operand& a, const Operand& b, const Operand& out, bool float64, int threads) {
        BoxMatrixCall call;
        call.kind = kind;
        call.format = static_cast<BoxFormat>(format);
        call.rows = static_cast<std::size_t>(a.first.shape(0));
        call.columns = static_cast<std::size_t>(b.first.shape(0));
        call.a = view(a, {call.rows, 4});
        call.b = view(b, {call.columns, 4});
        call.out = view(out, {call.rows, call.columns});
        call.float64 = float64;
        call.threads = threads;
        without_gil([&](Interrupt& interrupt) { return run_box_matrix(call, interrupt); });
      },
      py::arg("kind"), py::arg("format"), py::arg("a"), py::arg("b"), py::arg("out"), py::arg("float64"), py::arg("threads"));
}

}  // namespace pyloss::bindings
