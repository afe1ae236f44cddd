// Negative log-likelihoods.
#pragma once

#include <cmath>
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

/// Constants of the densities, if `full`.
inline double half_log_two_pi(double full) { return full != 0.0 ? 0.5 * std::log(2.0 * std::numbers::pi) : 0.0; }

/// A variance below eps counts as eps; its derivative is taken there.
struct GaussianNLL {
  static constexpr auto name = "gaussian_nll";
  double full, eps;

  template <class V>
  JointTerms<V, 2> operator()(V pred, V target, V var) const {
    const V r = pred - target, v = max(var, eps), precision = 1.0 / v, pull = r * precision, square = r * pull;
    return {.value = 0.5 * (log(v) + square) + half_log_two_pi(full),
            .grad = {pull, 0.5 * precision * (1.0 - square)},
            .hess = {precision, precision * precision * (square - 0.5)}};
  }
};

/// Gaussian, each element weighted by var^beta, which is held constant.
struct BetaNLL {
  static constexpr auto name = "beta_nll";
  double beta, eps;

  template <class V>
  JointTerms<V, 2> operator()(V pred, V target, V var) const {
    const JointTerms<V, 2> at = GaussianNLL{.full = 0.0, .eps = eps}(pred, target, var);
    const V weight = pow(max(var, eps), beta);
    return {
        .value = weight * at.value, .grad = {weight * at.grad[0], weight * at.grad[1]}, .hess = {weight * at.hess[0], weight * at.hess[1]}};
  }
};

struct LaplaceNLL {
  static constexpr auto name = "laplace_nll";
  double full;

  template <class V>
  JointTerms<V, 2> operator()(V pred, V target, V scale) const {
    const V r = pred - target, inverse = 1.0 / scale, size = abs(r) * inverse;
    return {.value = log(scale) + size + (full != 0.0 ? std::numbers::ln2 : 0.0),
            .grad = {sign(r) * inverse, inverse * (1.0 - size)},
            .hess = {0.0 * sign(r), inverse * inverse * (2.0 * size - 1.0)}};
  }
};

/// With u = r / scale: near = df / (df + u²) and far = u² / (df + u²), neither of which overflows nor cancels.
struct StudentTNLL {
  static constexpr auto name = "student_t_nll";
  double df, log_norm;  // log_norm: of the density at 0 for scale 1, with its sign turned

  template <class V>
  JointTerms<V, 2> operator()(V pred, V target, V scale) const {
    const V r = pred - target, inverse = 1.0 / scale, u = r * inverse, square = u * u;
    const auto beyond = abs(u) > 1e18;
    const V near = 1.0 / (1.0 + square / df), far = 1.0 / (1.0 + df / square);
    const V log_scale = log(scale), part = log1p_or_log(square / df, beyond, abs(r));
    const V logs = select(beyond, 2.0 * (part - log_scale) - std::log(df), part);
    const double more = df + 1.0;
    return {.value = log_norm + log_scale + 0.5 * more * logs,
            .grad = {select(abs(u) > 1.0, more * far / r, (more / df) * (u * near) * inverse), (near - df * far) * inverse},
            .hess = {(near - far) * more * select(abs(u) > 1.0, far / r / r, near / df * (inverse * inverse)),
                     (df * far - near + 2.0 * more * far * near) * (inverse * inverse)}};
  }
};

/// With w = (target - pred)/scale: scale (w erf(w/√2) + 2 phi(w) - 1/√pi).
struct GaussianCRPS {
  static constexpr auto name = "gaussian_crps";

  template <class V>
  JointTerms<V, 2> operator()(V pred, V target, V scale) const {
    const V r = pred - target, w = r / scale, square = min(w * w, 3000.0);
    // The root of the exponential is still normal where it is not.
    const V root = exp_nonpositive(-0.25 * square), most = std::sqrt(2.0 / std::numbers::pi) * root,
            odds = erf(w * (0.5 * std::numbers::sqrt2));
    const V rest = most * root - std::numbers::inv_sqrtpi;
    return {.value = r * odds + scale * rest, .grad = {odds, rest}, .hess = {most / scale * root, most * square / scale * root}};
  }
};

/// (mean² + exp(log_var) - 1 - log_var) / 2.
struct GaussianKL {
  static constexpr auto name = "gaussian_kl";

  template <class V>
  JointTerms<V, 2> operator()(V mean, V log_var) const {
    // Half the variance is finite where the whole is not.
    const V deviation = exp(0.5 * log_var), half = 0.5 * deviation * deviation;
    const auto large = log_var > 60.0;
    return {.value = 0.5 * mean * mean + select(large, half - 0.5 * min(log_var, 1e4), 0.5 * expm1_above_tangent(log_var)),
            .grad = {mean, select(large, half, 0.5 * expm1(log_var))},
            .hess = {1.0, half}};
  }
};

}  // namespace pyloss
