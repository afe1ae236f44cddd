// Losses of a row of class scores through its softmax p. The engine (kernels/rowwise.hpp) reads the scores; here a lane is a row.
#pragma once

#include "../simd/math.hpp"

namespace pyloss {

/// What one pass over a row of scores x with target weights a (a probability or a one-hot row, smoothed and class-weighted) tells.
template <class V>
struct SoftmaxRow {
  V max;       // largest score
  V others;    // sum of exp(x - max) over all but one of the largest: small where one score dominates, so nothing is lost
  V mass;      // sum of a
  V distance;  // sum of a (max - x)

  V total() const { return 1.0 + others; }
  /// log-sum-exp of x less max.
  V log_total() const { return log1p(others); }
};

/// The derivative by score j is pull p_j - a_j, the second derivative pull p_j (1 - p_j) + quad p_j².
template <class V>
struct RowTerms {
  V value, pull, quad;
};

/// -sum of a log p, plus z_loss times the squared log-sum-exp.
struct CrossEntropy {
  static constexpr auto name = "cross_entropy";
  double z_loss;

  template <class V>
  RowTerms<V> operator()(const SoftmaxRow<V>& row) const {
    const V log_total = row.log_total(), entropy = row.mass * log_total + row.distance;
    if (z_loss == 0.0) return {.value = entropy, .pull = row.mass, .quad = 0.0};
    const V z = row.max + log_total;
    return {.value = entropy + z_loss * z * z, .pull = row.mass + 2.0 * z_loss * z, .quad = 2.0 * z_loss};
  }
};

}  // namespace pyloss
