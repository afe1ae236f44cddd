// Rows of predicted quantiles against rows of samples: the losses of the registry's OfQuantiles list.
//
// An engine of its own, since the other two of rows walk a row's predictions and targets side by side and end with a few sums for it, while
// here every prediction meets every sample and has a sum of its own over them: there is nothing that the two would share.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "../parallel.hpp"
#include "parameters.hpp"
#include "views.hpp"

namespace pyloss {

/// A term of a sum of such losses.
struct QuantileComponent {
  std::string name;
  std::vector<double> parameters;
};

/// The caller's arrays: pred, grad and hess of rows x quantiles; target of rows x samples; weight and value of rows.
struct QuantilesCall {
  std::size_t rows = 0, quantiles = 0, samples = 0;
  View pred, target, weight, value, grad, hess;
  std::vector<double> scale;  // of the stored results, for each component
  bool float64 = false;
  int threads = 1;
};

std::span<const Signature> quantile_losses();

/// Adds the sum of weighted values of each component to `totals`; false if interrupted. The target is read again after results have been
/// written: it must not be where they go.
bool run_quantiles(std::span<const QuantileComponent> components, const QuantilesCall& call, Interrupt& interrupt,
                   std::span<double> totals);

}  // namespace pyloss
