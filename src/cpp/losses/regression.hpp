// Losses of the residual r = pred - target.
#pragma once

#include "terms.hpp"

namespace pyloss {

struct MSE {
  static constexpr auto name = "mse";

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V r = pred - target;
    return {.value = r * r, .grad = 2.0 * r, .hess = 2.0};
  }
};

struct MAE {
  static constexpr auto name = "mae";

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V r = pred - target;
    return {.value = abs(r), .grad = sign(r), .hess = 0.0};
  }
};

/// Quadratic up to `delta`, linear beyond. With q = r clipped to ±delta, q (r - q/2) is both halves at once.
struct Huber {
  static constexpr auto name = "huber";
  double delta;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V r = pred - target;
    const V q = clamp(r, -delta, delta);
    return {.value = q * (r - 0.5 * q), .grad = q, .hess = select(q == r, 1.0, 0.0 * q)};
  }
};

/// The level q is an input of its own, so that a row of quantiles is one call.
struct Quantile {
  static constexpr auto name = "quantile";

  template <class V>
  Terms<V> operator()(V pred, V target, V q) const {
    const V r = pred - target;
    const V slope = select(r > 0.0, 1.0 - q, select(r < 0.0, -q, 0.0 * r));
    return {.value = slope * r, .grad = slope, .hess = 0.0};
  }
};

/// The textbook |r| + log1p(exp(-2|r|)) - log 2 cancels near 0, where -log(1 - tanh²)/2 does not; the two meet at |r| = 1. With
/// m = exp(-2|r|) - 1, which tanh computes too, log1p(exp(-2|r|)) - log 2 is log1p(m/2).
struct LogCosh {
  static constexpr auto name = "log_cosh";

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V r = pred - target, size = abs(r), t = tanh(r);
    const V m = expm1(-2.0 * size), s = 1.0 / (2.0 + m);
    const auto near = size < 1.0;
    const V l = log1p(select(near, -t * t, 0.5 * m));
    return {.value = select(near, -0.5 * l, size + l), .grad = t, .hess = 4.0 * exp_nonpositive(-2.0 * size) * s * s};
  }
};

}  // namespace pyloss
