// Negative log-likelihoods.
#pragma once

#include <limits>
#include <numbers>

#include "terms.hpp"

namespace pyloss {

/// pred is the rate, or its logarithm; an infinite rate outweighs any finite target. `full` adds Stirling's approximation of
/// log(target!) for targets above 1.
struct PoissonNLL {
  static constexpr auto name = "poisson_nll";
  double log_input, full, eps;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    Terms<V> at;
    if (log_input != 0.0) {
      // Where pred is beyond 1000, the rate is infinite in any type.
      const V rate = exp(pred);
      at = {.value = rate - times_or_zero(target, min(pred, 1000.0)), .grad = rate - target, .hess = rate};
    } else {
      const V rate = pred + eps;
      const auto nothing = (target == 0.0) & (rate == 0.0);
      const V ratio = select(nothing, 0.0, target / rate);
      const auto infinite = pred == std::numeric_limits<double>::infinity();
      at = {.value = select(infinite, pred + 0.0 * target, pred - times_or_zero(target, log(rate))),
            .grad = 1.0 - ratio,
            .hess = select(nothing, 0.0, ratio / rate)};
    }
    if (full != 0.0) {
      const V stirling = target * log(target) - target + 0.5 * log((2.0 * std::numbers::pi) * target);
      at.value += select(target > 1.0, stirling, 0.0);
    }
    return at;
  }
};

}  // namespace pyloss
