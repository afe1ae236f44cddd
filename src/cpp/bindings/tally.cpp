#include "tally.hpp"

namespace pyloss::bindings {

void bind_tally(py::module_& m) {
  m.def("tally_size", &cell_size, py::arg("columns"), "How many numbers the sums of a cell take: sums, count, and what they lack.");

  m.def(
      "tally",
      [](const std::vector<Operand>& columns, std::size_t rows, const MaybeOperand& weight, const std::optional<GroupsOfRows>& groups,
         py::array sums, int threads) {
        const std::vector<View> views = columns_of_rows(columns, rows);
        return tally_columns([&] { return columns_of(views); }, views.size(), rows, weight, groups, sums, threads);
      },
      py::arg("columns"), py::arg("rows"), py::arg("weight"), py::arg("groups"), py::arg("sums"), py::arg("threads"),
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
