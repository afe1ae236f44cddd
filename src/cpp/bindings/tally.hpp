// What the calls that add up columns have in common.
#pragma once

#include <optional>
#include <stdexcept>
#include <tuple>

#include "../kernels/tally.hpp"
#include "arrays.hpp"

namespace pyloss::bindings {

using Cells = py::array_t<std::int64_t, py::array::c_style>;
/// The group of each row, the group that has the first of the cells, and the cells of groups.
using GroupsOfRows = std::tuple<Operand, std::int64_t, Cells>;

/// The sums of cells of `columns` columns, one cell a row.
inline std::span<double> sums_of(py::array& sums, std::size_t columns) {
  const bool fits = py::isinstance<py::array_t<double, py::array::c_style>>(sums) && sums.ndim() == 2 &&
                    static_cast<std::size_t>(sums.shape(1)) == cell_size(columns);
  if (!fits) throw std::logic_error("sums of another shape");
  return {static_cast<double*>(sums.mutable_data()), static_cast<std::size_t>(sums.size())};
}

/// Adds up the columns that `make` makes for each thread; false and nothing if a row has no cell.
template <class Make>
bool tally_columns(Make&& make, std::size_t columns, std::size_t rows, const MaybeOperand& weight,
                   const std::optional<GroupsOfRows>& groups, py::array& sums, int threads) {
  TallyCall call;
  call.columns = std::forward<Make>(make);
  call.column_count = columns;
  call.rows = rows;
  call.weight = view(weight, {rows});
  if (groups) {
    const auto& [numbers, least, cells] = *groups;
    call.groups = view(numbers, {rows});
    call.least = least;
    call.cells = {cells.data(), static_cast<std::size_t>(cells.size())};
  }
  call.cell_count = static_cast<std::size_t>(sums.shape(0));
  call.threads = threads;
  const std::span<double> to = sums_of(sums, columns);
  return without_gil([&](Interrupt& interrupt) { return tally(call, interrupt, to); }) == Tallied::all;
}

inline std::vector<View> columns_of_rows(const std::vector<Operand>& columns, std::size_t rows) {
  std::vector<View> views;
  for (const Operand& column : columns) views.push_back(view(column, {rows}));
  return views;
}

}  // namespace pyloss::bindings
