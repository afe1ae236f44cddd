#include "../kernels/embedding.hpp"

#include "arrays.hpp"

namespace pyloss::bindings {

namespace {

using Indices = py::array_t<std::int64_t, py::array::c_style>;

Labelled labelled(const py::array& array, const Indices& labels) {
  const Matrix rows = rows_of(array);
  if (labels.ndim() != 1 || static_cast<std::size_t>(labels.size()) != rows.count) throw std::logic_error("one label for each row");
  return {rows, labels.data()};
}

void* gradient(const std::optional<py::array>& array, const Matrix& rows) {
  if (!array) return nullptr;
  const Matrix grad = rows_of(*array);
  if (grad.count != rows.count || grad.depth != rows.depth || grad.float64 != rows.float64)
    throw std::logic_error("gradient unlike its input");
  return const_cast<void*>(grad.data);
}

}  // namespace

void bind_embedding(py::module_& m) {
  m.def(
      "embedding_losses", [] { return parameters_by_name(embedding_losses()); },
      "Name -> number of parameters of every kernel of a batch of embeddings.");

  m.def(
      "embedding",
      [](const std::string& loss, const std::vector<double>& parameters, const std::string& metric, const py::array& x,
         const Indices& x_labels, const py::array& y, const Indices& y_labels, bool self, bool mean, double scale,
         py::array_t<double, py::array::c_style> terms, const std::optional<py::array>& grad_x, const std::optional<py::array>& grad_y,
         int threads) {
        EmbeddingCall call{loss, parameters, metric, labelled(x, x_labels), labelled(y, y_labels), self, mean, scale};
        if (call.x.rows.depth != call.y.rows.depth || call.x.rows.float64 != call.y.rows.float64) throw std::logic_error("x and y differ");
        if (static_cast<std::size_t>(terms.size()) != call.x.rows.count) throw std::logic_error("one term for each anchor");
        call.terms = terms.mutable_data();
        call.grad_x = gradient(grad_x, call.x.rows);
        call.grad_y = gradient(grad_y, call.y.rows);
        call.threads = threads;
        double value = 0.0;
        without_gil([&](Interrupt& interrupt) { return run_embedding(call, interrupt, value); });
        return value;
      },
      py::arg("loss"), py::arg("parameters"), py::arg("metric"), py::arg("x"), py::arg("x_labels"), py::arg("y"), py::arg("y_labels"),
      py::arg("self"), py::arg("mean"), py::arg("scale"), py::arg("terms"), py::arg("grad_x"), py::arg("grad_y"), py::arg("threads"));

  m.def(
      "mine",
      [](const std::string& kind, const std::string& metric, const py::array& x, const Indices& labels, int threads) {
        EmbeddingCall call{kind, {}, metric, labelled(x, labels), labelled(x, labels), true};
        call.threads = threads;
        std::vector<std::vector<std::int64_t>> triplets;
        without_gil([&](Interrupt& interrupt) { return run_mine(call, triplets, interrupt); });
        std::size_t size = 0;
        for (const auto& each : triplets) size += each.size();
        Indices result(std::vector<std::size_t>{size / 3, 3});
        std::int64_t* to = result.mutable_data();
        for (const auto& each : triplets) to = std::copy(each.begin(), each.end(), to);
        return result;
      },
      py::arg("kind"), py::arg("metric"), py::arg("x"), py::arg("labels"), py::arg("threads"));
}

}  // namespace pyloss::bindings
