// One row of class scores and its target in, one term out: the losses of the registry's Rowwise and RowwiseSums lists.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "../losses/multiclass.hpp"
#include "../parallel.hpp"
#include "elementwise.hpp"
#include "parameters.hpp"
#include "rowsums.hpp"
#include "views.hpp"
#include "weights.hpp"

namespace pyloss {

/// Rows side by side, one a lane.
using Rows = simd::Pack<double>;

struct RowEntry {
  std::string_view name;
  std::size_t parameters;
  RowTerms<Rows> (*terms)(const double* parameters, const SoftmaxRow<Rows>& rows) = nullptr;
  /// Turns scores of labels into what the softmax sees, where the loss has a margin; else null.
  void (*label_scores)(const double* parameters, const double* x, std::size_t count, LabelScore* to) = nullptr;
  /// The loss as a sum over elements, if it is none of the softmax.
  const RowSumsEntry* sums = nullptr;
};

std::span<const RowEntry> rowwise_table();

/// A term of a sum of row losses. Scores are first capped, then divided by the temperature; a row's target weights are
/// class_weight ((1 - label_smoothing) target + label_smoothing / classes).
struct RowComponent {
  std::size_t entry;  // its place in the table
  std::vector<double> parameters;
  std::vector<double> class_weight;  // empty: all 1
  double label_smoothing = 0.0;
  double softcap = 0.0;  // 0: none
  double temperature = 1.0;
  std::optional<std::int64_t> ignored;
};

/// The caller's arrays: scores, teacher, grad and hess of rows x classes; target either that, or one label a row, or absent.
struct RowwiseCall {
  std::size_t rows = 0, classes = 0;
  View scores, target, teacher, weight, value, grad, hess;
  bool labels = true;
  Want want = Want::value;
  std::vector<double> scale;         // of the stored results, for each component
  std::vector<Surrogate> surrogate;  // for each component
  bool float64 = false;
  int threads = 1;
};

/// Adds the sum of weighted values of each component to `totals`; false if interrupted. Labels must have been checked.
bool run_rowwise(std::span<const RowComponent> components, const RowwiseCall& call, Interrupt& interrupt, std::span<double> totals);

/// Labels must be classes or the ignored one; `total` is the sum of weight times class weight over rows that count.
Checked check_labels(const View& labels, std::size_t classes, const RowComponent& component, const View& weight, int threads,
                     Interrupt& interrupt);

}  // namespace pyloss
