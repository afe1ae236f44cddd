// Losses of a row of class scores through its softmax p. The engine (kernels/rowwise.hpp) reads the row; what is here is scalar.
#pragma once

#include <cmath>

namespace pyloss {

/// What one pass over a row of scores x with target weights a (a probability or a one-hot row, smoothed and class-weighted) tells.
struct SoftmaxRow {
  double max;       // largest score
  double others;    // sum of exp(x - max) over all but one of the largest: small where one score dominates, so nothing is lost
  double mass;      // sum of a
  double distance;  // sum of a (max - x)

  double total() const { return 1.0 + others; }
  /// log-sum-exp of x less max.
  double log_total() const { return std::log1p(others); }
};

/// The derivative by score j is pull p_j - a_j, the second derivative pull p_j (1 - p_j) + quad p_j².
struct RowTerms {
  double value, pull, quad;
};

/// -sum of a log p, plus z_loss times the squared log-sum-exp.
struct CrossEntropy {
  static constexpr auto name = "cross_entropy";
  double z_loss;

  RowTerms operator()(const SoftmaxRow& row) const {
    const double log_total = row.log_total(), entropy = row.mass * log_total + row.distance;
    if (z_loss == 0.0) return {.value = entropy, .pull = row.mass, .quad = 0.0};
    const double z = row.max + log_total;
    return {.value = entropy + z_loss * z * z, .pull = row.mass + 2.0 * z_loss * z, .quad = 2.0 * z_loss};
  }
};

}  // namespace pyloss
