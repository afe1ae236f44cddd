// Sums of columns of numbers over cells of rows, with twice the digits of float64: cutting the rows into batches changes nothing that
// shows.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "../parallel.hpp"
#include "views.hpp"

namespace pyloss {

/// The numbers of a panel are added up side by side; a cell has a whole number of panels.
inline constexpr std::size_t panel = 4;

/// How many numbers a cell takes: the sums of the columns, of the weights and of rows, nothing up to the end of the panel, and then, in the
/// same order, what each lacks.
constexpr std::size_t cell_size(std::size_t columns) { return 2 * divide_up(columns + 2, panel) * panel; }

/// Columns of numbers, a block of rows of which is at hand at a time.
class Columns {
 public:
  /// One of them is null.
  struct Numbers {
    const float* floats;
    const double* doubles;
  };

  Columns() = default;
  Columns(const Columns&) = delete;
  Columns& operator=(const Columns&) = delete;
  virtual ~Columns() = default;

  /// Takes the rows [begin, begin + count), at most block_elements, to hand.
  virtual void read(std::size_t begin, std::size_t count) = 0;
  virtual Numbers column(std::size_t c) const = 0;
};

/// Columns that are arrays.
std::unique_ptr<Columns> columns_of(const std::vector<View>& views);

struct TallyCall {
  std::function<std::unique_ptr<Columns>()> columns;  // those of one thread
  std::size_t column_count = 0, rows = 0;
  View weight;                          // absent: 1; weight 0 excludes a row, whatever its numbers
  View groups;                          // absent: all rows are of one cell
  std::int64_t least = 0;               // the group whose cell is the first of `cells`
  std::span<const std::int64_t> cells;  // the cell of each group from there on, -1 where there is none
  std::size_t cell_count = 1;
  int threads = 1;
};

enum class Tallied { all, interrupted, no_such_cell };

/// Adds weight times number to `sums`, which has cell_size() for each cell; nothing unless every row has a cell.
Tallied tally(const TallyCall& call, Interrupt& interrupt, std::span<double> sums);

/// Adds the sums `from` of one cell each to those of the cells `to`.
void merge_tallies(std::span<const double> from, std::span<const std::size_t> to, std::size_t columns, std::span<double> sums);

}  // namespace pyloss
