#include "../kernels/combination.hpp"

#include "../kernels/groups.hpp"
#include "arrays.hpp"

namespace pyloss::bindings {

namespace {

using Numbers = py::array_t<double, py::array::c_style>;
using Shape = std::vector<std::size_t>;

Shape shape_of(const Operand& operand) { return Shape(operand.first.shape(), operand.first.shape() + operand.first.ndim()); }

/// The groups and how many there are, and the classes if any.
using GivenCells = std::tuple<Operand, std::size_t, MaybeOperand, std::size_t>;

Cells cells_of(const GivenCells& given, const Shape& shape) {
  const auto& [groups, group_count, classes, class_count] = given;
  return {view(groups, shape), view(classes, shape), group_count, class_count};
}

std::vector<View> views(const std::vector<Operand>& rows) {
  std::vector<View> all;
  for (const Operand& row : rows) all.push_back(view(row, shape_of(rows.at(0))));
  return all;
}

Samples samples_of(const Operand& operand) {
  const Shape shape = shape_of(operand);
  Samples samples{view(operand, shape), shape.at(0), 1, {}};
  std::vector<Axis> axes;
  for (std::size_t i = 1; i < shape.size(); ++i) {
    samples.depth *= shape[i];
    axes.push_back({shape[i], operand.first.strides(static_cast<py::ssize_t>(i))});
  }
  if (samples.depth <= short_row) return samples;
  for (std::size_t row = 0; row < samples.count; ++row) {
    const char* const at = static_cast<const char*>(operand.first.data()) + static_cast<py::ssize_t>(row) * operand.first.strides(0);
    samples.rows.emplace_back(const_cast<char*>(at), static_cast<Kind>(operand.second), axes);
  }
  return samples;
}

}  // namespace

void bind_combination(py::module_& m) {
  m.def(
      "group_range",
      [](const Operand& groups, int threads) {
        const View all = view(groups, shape_of(groups));
        const Range range = without_gil([&](Interrupt& interrupt) { return range_of(all, threads, interrupt); });
        return py::make_tuple(range.least, range.most);
      },
      py::arg("groups"), py::arg("threads"), "The least and the largest number of a group; of no groups, the least is the larger.");

  m.def(
      "group_sums",
      [](const Operand& values, const GivenCells& cells, const MaybeOperand& weight, int summand, double scale, bool float64, int threads) {
        const Shape shape = shape_of(values);
        const GroupSumsCall call{
            cells_of(cells, shape), view(values, shape), view(weight, shape), static_cast<Summand>(summand), scale, float64, threads};
        const GroupSums result = without_gil([&](Interrupt& interrupt) { return group_sums(call, interrupt); });
        return py::make_tuple(result.first_bad, py::array_t<double>(static_cast<py::ssize_t>(result.sums.size()), result.sums.data()));
      },
      py::arg("values"), py::arg("cells"), py::arg("weight"), py::arg("summand"), py::arg("scale"), py::arg("float64"), py::arg("threads"),
      "First index of an element of no group or class, if any, and two sums of each cell, class by class.");

  m.def(
      "group_spread",
      [](const GivenCells& cells, const MaybeOperand& factor, const Numbers& slope, const Numbers& bend, const Operand& grad,
         const MaybeOperand& hess, int threads) {
        const Shape shape = shape_of(grad);
        const GroupSpreadCall call{
            cells_of(cells, shape), view(factor, shape), view(grad, shape), view(hess, shape), slope.data(), bend.data(), threads};
        const auto count = static_cast<py::ssize_t>(call.cells.size());
        if (slope.size() != count || bend.size() != count) throw std::logic_error("a number for each cell");
        without_gil([&](Interrupt& interrupt) { return group_spread(call, interrupt); });
      },
      py::arg("cells"), py::arg("factor"), py::arg("slope").noconvert(), py::arg("bend").noconvert(), py::arg("grad"), py::arg("hess"),
      py::arg("threads"));

  m.def(
      "inner_products",
      [](const std::vector<Operand>& rows, double scale, int threads) {
        const std::vector<View> all = views(rows);
        const auto count = static_cast<py::ssize_t>(rows.size());
        py::array_t<double> products({count, count});
        double* const to = products.mutable_data();
        without_gil([&](Interrupt& interrupt) { return inner_products(all, scale, threads, interrupt, to); });
        return products;
      },
      py::arg("rows"), py::arg("scale"), py::arg("threads"));

  m.def(
      "combine",
      [](const std::vector<Operand>& rows, const std::vector<double>& coefficients, const Operand& out, int threads) {
        const std::vector<View> all = views(rows);
        if (coefficients.size() != rows.size()) throw std::logic_error("a coefficient for each row");
        const View to = view(out, shape_of(out));
        without_gil([&](Interrupt& interrupt) { return combine(all, {coefficients, 1.0, {}}, threads, interrupt, to); });
      },
      py::arg("rows"), py::arg("coefficients"), py::arg("out"), py::arg("threads"));

  m.def(
      "clip_rows",
      [](const Operand& grads, double norm, double noise, std::uint64_t seed, double scale, const Operand& out, int threads) {
        const Samples samples = samples_of(grads);
        Combination combination{{}, scale, {}};
        if (noise != 0.0) combination.noise = Noise{seed, noise};
        const View to = view(out, shape_of(out));
        without_gil([&](Interrupt& interrupt) { return clip_rows(samples, norm, combination, threads, interrupt, to); });
      },
      py::arg("grads"), py::arg("norm"), py::arg("noise"), py::arg("seed"), py::arg("scale"), py::arg("out"), py::arg("threads"));

  m.def(
      "dropout",
      [](const Operand& x, double p, std::uint64_t seed, bool float64, const Operand& out, int threads) {
        const View from = view(x, shape_of(out)), to = view(out, shape_of(out));
        without_gil([&](Interrupt& interrupt) { return dropout(from, p, seed, float64, threads, interrupt, to); });
      },
      py::arg("x"), py::arg("p"), py::arg("seed"), py::arg("float64"), py::arg("out"), py::arg("threads"));
}

}  // namespace pyloss::bindings
