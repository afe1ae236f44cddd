// Losses of the residual r = pred - target.
#pragma once

#include <cmath>
#include <limits>

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

/// Terms of a root that is known: see RootLoss. `unit` is a power of two, and keeps squares in range.
struct RMSE {
  static constexpr auto name = "rmse";
  double unit, by_mean, by_total;  // what is divided by

  template <class V>
  Terms<V> operator()(V pred, V target, V weight) const {
    const V r = unit * pred - unit * target, square = r * r;
    return {.value = square, .grad = r, .hess = unit * (1.0 - (by_total * weight) * (by_mean * square))};
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

struct MSLE {
  static constexpr auto name = "msle";

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    // log((1 + pred) / (1 + target)); where the two are alike, their difference keeps its digits.
    const V below = 1.0 + target, by = (pred - target) / below;
    const V d = log1p_or_log(by, !(abs(by) < 0.5), (1.0 + pred) / below);
    const V slope = 1.0 / (1.0 + pred);
    return {.value = d * d, .grad = 2.0 * d * slope, .hess = (2.0 - 2.0 * d) * slope * slope};
  }
};

struct MAPE {
  static constexpr auto name = "mape";
  double eps;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V r = pred - target, size = max(abs(target), eps);
    return {.value = abs(r) / size, .grad = sign(r) / size, .hess = 0.0};
  }
};

/// Of opposite signs the loss is 2, whatever their sizes.
struct SMAPE {
  static constexpr auto name = "smape";

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V r = pred - target, sum = abs(pred) + abs(target);
    const auto same = r == 0.0, alike = sign(pred) * sign(target) > 0.0;
    // Of ordinary sums the quotients of 8 are ordinary too, and a subnormal target keeps its digits.
    const auto ordinary = (sum > 1e-9) & (sum < 1e9);
    const V size = abs(target), square = select(ordinary, size * (8.0 / sum / sum), 8.0 * (size / sum) / sum);
    const V cube = select(ordinary, size * (8.0 / sum / sum / sum), square / sum);
    const V slope = select(alike, 0.5 * square, select(pred == 0.0, 2.0 / sum, 0.0 * r));
    return {.value = select(same, 0.0, 2.0 * (abs(r) / sum)),
            .grad = select(same, 0.0, sign(r) * slope),
            .hess = select(alike & (r != 0.0), -sign(pred) * sign(r) * cube, select(pred == 0.0, 0.0, 0.0 * r))};
  }
};

/// Huber's loss over beta; MAE at beta = 0.
struct SmoothL1 {
  static constexpr auto name = "smooth_l1";
  double beta;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V r = pred - target;
    if (beta == 0.0) return {.value = abs(r), .grad = sign(r), .hess = 0.0 * sign(r)};
    const V q = clamp(r, -beta, beta), slope = q / beta;
    return {.value = slope * (r - 0.5 * q), .grad = slope, .hess = select(abs(r) < beta, 1.0 / beta, 0.0 * slope)};
  }
};

/// With u = r / delta and s = sqrt(1 + u²), s - 1 is u² / (1 + s), which does not cancel; from 1e9 on s is |u|.
struct PseudoHuber {
  static constexpr auto name = "pseudo_huber";
  double delta;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V r = pred - target, u = r / delta, size = abs(u);
    const auto far = size > 1e9;
    const V s = select(far, size, sqrt(1.0 + u * u)), inverse = 1.0 / s;
    return {.value = delta * select(far, abs(r) - delta, abs(r) * (size / (1.0 + s))),
            .grad = delta * select(far, sign(u), u * inverse),
            .hess = inverse * inverse * inverse};
  }
};

struct Expectile {
  static constexpr auto name = "expectile";
  double tau;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V r = pred - target, share = select(r > 0.0, 1.0 - tau, tau);
    return {.value = share * r * r, .grad = 2.0 * share * r, .hess = 2.0 * share};
  }
};

struct EpsilonInsensitive {
  static constexpr auto name = "epsilon_insensitive";
  double epsilon, squared;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V r = pred - target, excess = max(abs(r) - epsilon, 0.0), way = select(excess > 0.0, sign(r), 0.0 * excess);
    if (squared == 0.0) return {.value = excess, .grad = way, .hess = 0.0 * way};
    return {.value = excess * excess, .grad = 2.0 * excess * way, .hess = 2.0 * abs(way)};
  }
};

/// With u = (r/c)² and v = 1 - u inside c, 0 outside: c²/6 (1 - v³), whose difference is written out.
struct Tukey {
  static constexpr auto name = "tukey";
  double c;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V r = pred - target, a = min(abs(r) / c, 1.0), u = a * a, v = (1.0 - a) * (1.0 + a);
    return {.value = (c * c / 6.0) * (u * (1.0 + v + v * v)), .grad = select(v == 0.0, 0.0, r * v * v), .hess = v * (v - 4.0 * u)};
  }
};

/// log(1 + u²/2) with u = r / c, also where u² would overflow.
struct Cauchy {
  static constexpr auto name = "cauchy";
  double c;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V r = pred - target, u = r / c;
    const auto far = abs(u) > 1e18;
    const V half = 0.5 * u * u, w = 1.0 / (1.0 + half), inverse = 1.0 / r, log = log1p_or_log(half, far, abs(r));
    return {.value = select(far, 2.0 * log - std::log(2.0 * c * c), log),
            .grad = select(far, 2.0 * inverse, u * w / c),
            .hess = select(far, -2.0 * inverse * inverse, (1.0 - half) * w * w / (c * c))};
  }
};

/// 1 - exp(-u²/2) with u = r / c, which is 1 long before |u| is 200. The root of the exponential is still normal where it is not.
struct Welsch {
  static constexpr auto name = "welsch";
  double c;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V u = clamp((pred - target) / c, -200.0, 200.0), square = u * u, root = exp_nonpositive(-0.25 * square);
    return {.value = -expm1(-0.5 * square), .grad = u / c * root * root, .hess = (1.0 - square) / (c * c) * root * root};
  }
};

/// 2 u² / (u² + 4) with u = r / c; beyond 1 in powers of 1 / u, which do not overflow.
struct GemanMcClure {
  static constexpr auto name = "geman_mcclure";
  double c;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V u = (pred - target) / c;
    const auto far = abs(u) > 1.0;
    const V a = select(far, 1.0 / u, u), square = a * a, w = 1.0 / select(far, 1.0 + 4.0 * square, 4.0 + square);
    return {.value = 2.0 * w * select(far, 1.0, square),
            .grad = (16.0 / c) * (a * select(far, square, 1.0)) * w * w,
            .hess = (16.0 / (c * c)) * select(far, square * square * (4.0 * square - 3.0), 4.0 - 3.0 * square) * w * w * w};
  }
};

/// |alpha - 2| / alpha ((z + 1)^(alpha/2) - 1) with u = r / c and z = u² / |alpha - 2|, and its limits at alpha = 2, 0 and -inf. Where z
/// might overflow, z + 1 is z, and powers of a sixteenth of its root take its place.
struct Barron {
  static constexpr auto name = "barron";
  double alpha, c;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    constexpr double inf = std::numeric_limits<double>::infinity();
    if (alpha == 0.0) return Cauchy{c}(pred, target);
    if (alpha == -inf) return Welsch{c}(pred, target);
    const V r = pred - target;
    if (alpha == 2.0) return {.value = 0.5 * (r / c) * (r / c), .grad = r / (c * c), .hess = 1.0 / (c * c)};
    const double b = std::abs(alpha - 2.0), width = c * std::sqrt(b);
    const V root = r / width;
    const auto far = abs(root) > 1e18;
    const V base = select(far, abs(r / 16.0) / width, root * root), small = 1.0 / (16.0 * base);
    const V power = pow1pm1(base, select(far, alpha, 0.5 * alpha));
    const V fall = pow1p(base, select(far, 0.5 * alpha - 0.5, 0.5 * alpha - 1.0));  // far away a root of it, which overflows later
    const V bend = std::pow(16.0, alpha - 2.0) * (alpha - 1.0 + (2.0 - alpha) * small * small) * (fall / base * fall);
    return {.value = (b / alpha) * select(far, std::pow(16.0, alpha) * (1.0 + power) - 1.0, power),
            .grad = select(far, sign(r) * (std::sqrt(b) / c * std::pow(16.0, alpha - 1.0)) * fall * fall, r / (c * c) * fall),
            .hess = select(base == inf, alpha > 2.0 ? inf : 0.0,
                           select(far, bend, fall * ((alpha - 1.0) + (2.0 - alpha) / (1.0 + base))) / (c * c))};
  }
};

}  // namespace pyloss
