// NumPy arrays as views, kernels by name, and calls without the GIL.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "../kernels/pairwise.hpp"
#include "../kernels/views.hpp"
#include "../parallel.hpp"

namespace pyloss::bindings {

namespace py = pybind11;

/// An array and its Kind; the caller has checked that they agree.
using Operand = std::pair<py::array, int>;
using MaybeOperand = std::optional<Operand>;

/// `operand` broadcast to `shape`; the axes that it lacks repeat it.
inline View view(const Operand& operand, const std::vector<std::size_t>& shape) {
  const py::array& array = operand.first;
  const std::size_t missing = shape.size() - static_cast<std::size_t>(array.ndim());
  if (missing > shape.size()) throw std::logic_error("an operand has more axes than the result");
  std::vector<Axis> axes(shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i) {
    axes[i] = {shape[i], 0};
    if (i < missing) continue;
    const auto axis = static_cast<py::ssize_t>(i - missing);
    const auto size = static_cast<std::size_t>(array.shape(axis));
    if (size == shape[i]) {
      axes[i].stride = array.strides(axis);
    } else if (size != 1) {
      throw std::logic_error("an operand does not broadcast to the result");
    }
  }
  return View(const_cast<void*>(array.data()), static_cast<Kind>(operand.second), std::move(axes));
}

inline View view(const MaybeOperand& operand, const std::vector<std::size_t>& shape) { return operand ? view(*operand, shape) : View(); }

/// A matrix of float32 or float64 in C order.
inline Matrix rows_of(const py::array& array) {
  if (array.ndim() != 2 || !(array.flags() & py::array::c_style)) throw std::logic_error("rows must lie side by side");
  const auto depth = static_cast<std::size_t>(array.shape(1));
  return {array.data(), static_cast<std::size_t>(array.shape(0)), depth, depth, py::isinstance<py::array_t<double>>(array)};
}

/// Runs work(interrupt) without the GIL; Ctrl-C in the main thread ends it with KeyboardInterrupt.
template <class Work>
auto without_gil(Work&& work) {
  Interrupt interrupt([] {
    py::gil_scoped_acquire gil;
    return PyErr_CheckSignals() != 0;
  });
  const auto result = [&] {
    py::gil_scoped_release released;
    return work(interrupt);
  }();
  if (interrupt.requested()) throw py::error_already_set();
  return result;
}

/// What is told of each kernel of a table, by its name.
template <class Entry, class Tell>
py::dict by_name(std::span<const Entry> table, Tell&& tell) {
  py::dict kernels;
  for (const Entry& entry : table) kernels[py::str(entry.name.data(), entry.name.size())] = tell(entry);
  return kernels;
}

template <class Entry>
py::dict parameters_by_name(std::span<const Entry> table) {
  return by_name(table, [](const Entry& entry) { return entry.parameters; });
}

/// The place of a kernel in its table.
template <class Entry>
std::size_t find_kernel(std::span<const Entry> table, const std::string& name, const std::vector<double>& parameters) {
  const auto at = std::find_if(table.begin(), table.end(), [&](const Entry& entry) { return entry.name == name; });
  if (at == table.end()) throw py::key_error(name);
  if (parameters.size() != at->parameters) throw std::logic_error("wrong number of parameters for " + name);
  return static_cast<std::size_t>(at - table.begin());
}

void bind_elementwise(py::module_& m);
void bind_rowwise(py::module_& m);
void bind_pairwise(py::module_& m);
void bind_embedding(py::module_& m);
void bind_tuples(py::module_& m);
void bind_covariance(py::module_& m);
void bind_penalty(py::module_& m);
void bind_combination(py::module_& m);
void bind_boxes(py::module_& m);
void bind_lovasz(py::module_& m);
void bind_overlap(py::module_& m);
void bind_ranking(py::module_& m);
void bind_quantiles(py::module_& m);
void bind_tally(py::module_& m);
void bind_math(py::module_& m);

}  // namespace pyloss::bindings
