// Negative log-likelihoods.
#pragma once

#include <numbers>

#include "terms.hpp"

namespace pyloss {

/// pred is the rate, or its logarithm; `full` adds Stirling's approximation of log(target!) for targets above 1.
struct PoissonNLL {
  static constexpr auto name = "poisson_nll";
  double log_input, full, eps;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    Terms<V> at;
    if (log_input != 0.0) {
      const V rate = exp(pred);
      at = {.value = rate - times_or_zero(target, pred), .grad = rate - target, .hess = rate};
    } else {
      const V rate = pred + eps, ratio = target / rate;
      at = {.value = pred - times_or_zero(target, log(rate)), .grad = 1.0 - ratio, .hess = ratio / rate};
    }
    if (full != 0.0) {
      const V stirling = target * log(target) - target + 0.5 * log((2.0 * std::numbers::pi) * target);
      at.value += select(target > 1.0, stirling, 0.0);
    }
    return at;
  }
};

}  // namespace pyloss
