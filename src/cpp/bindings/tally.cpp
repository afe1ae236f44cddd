#include "../kernels/tally.hpp"

#include "arrays.hpp"

namespace pyloss::bindings {

namespace {

using Sums = py::array_t<double, py::array::c_style>;

/// The sums of cells of `columns` columns, one cell a row.
std::span<double> sums_of(py::array& sums, std::size_t columns) {
  const bool fits = py::isinstance<Sums>(sums) && sums.ndim() == 2 && static_cast<std::size_t>(sums.shape(1)) == cell_size(columns);
  if (!fits) throw std::logic_error("sums of another shape");
  return {static_cast<double*>(sums.mutable_data()), static_cast<std::size_t>(sums.size())};
}

}  // namespace

void bind_tally(py::module_& m) {
  m.def("tally_size", &cell_size, py::arg("columns"), "How many numbers the sums of a cell take: sums, count, and what they lack.");

  m.def(
      "tally",
      [](const std::vector<Operand>& columns, const MaybeOperand& weight, const MaybeOperand& groups, std::int64_t least,
         const py::array_t<std::int64_t, py::array::c_style>& cells, py::array sums, int threads) {
        const std::vector<std::size_t> rows{static_cast<std::size_t>(columns.at(0).first.size())};
        TallyCall call;
        for (const Operand& column : columns) call.columns.push_back(view(column, rows));
        call.weight = view(weight, rows);
        call.groups = view(groups, rows);
        call.least = least;
        call.cells = {cells.data(), static_cast<std::size_t>(cells.size())};
        call.cell_count = static_cast<std::size_t>(sums.shape(0));
        call.threads = threads;
        const std::span<double> to = sums_of(sums, columns.size());
        return without_gil([&](Interrupt& interrupt) { return tally(call, interrupt, to); }) == Tallied::all;
      },
      py::arg("columns"), py::arg("weight"), py::arg("groups"), py::arg("least"), py::arg("cells"), py::arg("sums"), py::arg("threads"),
      "Adds weight times each column to the sums of the rows' cells; False and nothing if a row has none.");

  m.def(
      "merge_tallies",
      [](py::array from, const std::vector<std::size_t>& to, std::size_t columns, py::array sums) {
        const std::span<double> target = sums_of(sums, columns);
        const std::span<const double> source = sums_of(from, columns);
        for (const std::size_t cell : to) {
          if (cell >= static_cast<std::size_t>(sums.shape(0))) throw std::logic_error("no such cell");
        }
        if (to.size() != static_cast<std::size_t>(from.shape(0))) throw std::logic_error("a cell for each of the sums");
        merge_tallies(source, to, columns, target);
      },
      py::arg("from_sums"), py::arg("cells"), py::arg("columns"), py::arg("sums"), "Adds sums to those of the cells.");
}

}  // namespace pyloss::bindings
