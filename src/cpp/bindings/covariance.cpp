#include "../kernels/covariance.hpp"

#include "arrays.hpp"

namespace pyloss::bindings {

void bind_covariance(py::module_& m) {
  m.def(
      "covariance_losses", [] { return parameters_by_name(covariance_losses()); },
      "Name -> number of parameters of every kernel of the covariances of two batches.");

  m.def(
      "covariance",
      [](const std::string& loss, const std::vector<double>& parameters, const py::array& x, const py::array& y,
         const std::optional<std::pair<py::array, py::array>>& grads, int threads) {
        CovarianceCall call{loss, parameters, rows_of(x), rows_of(y)};
        if (call.x.depth != call.y.depth || call.x.float64 != call.y.float64) throw std::logic_error("x and y differ");
        if (grads)
          call.grad_x = const_cast<void*>(rows_of(grads->first).data), call.grad_y = const_cast<void*>(rows_of(grads->second).data);
        call.threads = threads;
        double value = 0.0;
        without_gil([&](Interrupt& interrupt) { return run_covariance(call, interrupt, value); });
        return value;
      },
      py::arg("loss"), py::arg("parameters"), py::arg("x"), py::arg("y"), py::arg("grads"), py::arg("threads"));
}

}  // namespace pyloss::bindings
