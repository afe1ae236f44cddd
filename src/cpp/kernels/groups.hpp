// Sums over the groups to which elements belong, and a number of each group carried back to its elements.
#pragma once

#include <optional>
#include <vector>

#include "../parallel.hpp"
#include "views.hpp"

namespace pyloss {

/// Which cell each element belongs to: that of its group, or of its group within its class.
struct Cells {
  View groups, classes;  // of any integer type; absent classes: one
  std::size_t group_count = 1, class_count = 1;

  std::size_t size() const { return group_count * class_count; }
};

struct Range {
  std::int64_t least = INT64_MAX, most = INT64_MIN;
};

/// The least and the largest number of a group.
Range range_of(const View& groups, int threads, Interrupt& interrupt);

/// What is added up in each cell.
enum class Summand : int {
  weighted,  // weight times value, and the weight
  square,    // the square of scale times value, and 1
};

struct GroupSumsCall {
  Cells cells;
  View values, weight;
  Summand summand = Summand::weighted;
  double scale = 1.0;
  bool float64 = false;
  int threads = 1;
};

struct GroupSums {
  std::optional<std::size_t> first_bad;  // the first element of no group, or of no class
  std::vector<double> sums;              // two for each cell
};

GroupSums group_sums(const GroupSumsCall& call, Interrupt& interrupt);

/// grad = slope[cell] factor and hess = slope[cell] (1 - (bend[cell] factor)²); an absent factor is 1. The cells have been checked.
struct GroupSpreadCall {
  Cells cells;
  View factor, grad, hess;
  const double *slope, *bend;  // one of each cell
  int threads = 1;
};

/// False if interrupted.
bool group_spread(const GroupSpreadCall& call, Interrupt& interrupt);

}  // namespace pyloss
