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
    const V odds = over(square, df), sum = 1.0 + odds;
    const auto beyond = odds > 1e30;
    const V near = 1.0 / sum, far = select(beyond, 1.0, odds * near);
    const V log_scale = log(scale), part = log1p_of_both(select(beyond, abs(r) - 1.0, odds), select(beyond, abs(r), sum));
    const V logs = select(beyond, 2.0 * (part - log_scale) - std::log(df), part);
    const double more = df + 1.0;
    return {.value = log_norm + log_scale + 0.5 * more * logs,
            .grad = {select(abs(u) > 1.0, more * far / r, (more / df) * (u * near) * inverse), (near - df * far) * inverse},
            .hess = {(near - far) * more * select(abs(u) > 1.0, far / r / r, near / df * (inverse * inverse)),
                     (df * far - near + 2.0 * more * far * near) * (inverse * inverse)}};
  }
};

/// x/y, where it is tiny 2^156 (float64: 2^1100) x/y, so that it is never subnormal.
template <class V>
struct SmallRatio {
  static constexpr bool narrow = sizeof(typename V::Scalar) == 4;
  static constexpr double least = narrow ? 0x1p-100 : 0x1p-900, up = narrow ? 0x1p96 : 0x1p600, down = narrow ? 0x1p-60 : 0x1p-500;

  simd::Mask<typename V::Scalar> tiny;
  V value;

  PYLOSS_INLINE SmallRatio(V x, V y, simd::Mask<typename V::Scalar> where_tiny)
      : tiny(where_tiny), value(select(tiny, x * up, x) / select(tiny, y * down, y)) {}
  /// The exponent of two that `value` lacks.
  PYLOSS_INLINE V shift() const { return select(tiny, narrow ? -156.0 : -1100.0, 0.0); }
};

/// Of the mean m = pred, or exp(pred), and u = (t - m)/m: 2 (u - log(1 + u)), where log(1 + u) = log(t/m) in two parts keeps what the
/// difference leaves.
struct GammaDeviance {
  static constexpr auto name = "gamma_deviance";
  double log_input;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    constexpr double infinite = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
    if (log_input != 0.0) {
      const auto log_target = simd::log_in_two(target);
      const auto difference = simd::sum_in_two(log_target.high, -pred);
      auto ratio = simd::sum_in_two(difference.high, difference.low + log_target.low);
      const V limit = select(target == infinite, infinite, -pred);
      const auto endless = abs(limit) == infinite;
      ratio = {select(endless, limit, ratio.high), select(endless, 0.0, ratio.low)};
      const V u = expm1(ratio.high), rest = expm1_above_tangent(ratio.high);
      const auto inside = (target > 0.0) & (pred == pred);
      const auto where_inside = [&](V x) { return select(inside, x, nan); };
      return {.value = where_inside(2.0 * select(u < infinite, fma(u, ratio.low, rest), rest)),
              .grad = where_inside(-2.0 * simd::expm1(ratio)),
              .hess = where_inside(2.0 * simd::exp(ratio))};
    }
    // Small ratios t/m are taken as such.
    const auto small = target < 0.5 * pred;
    const SmallRatio<V> quotient(select(small, target, target - pred), pred, target < SmallRatio<V>::least * pred);
    const V ratio = quotient.value, u = select(quotient.tiny, -1.0, select(small, ratio - 1.0, ratio));
    const auto log = simd::log1p_or_log_in_two(ratio, small, ratio, quotient.shift());
    const auto endless = (ratio == infinite) | (pred == infinite), inside = (pred > 0.0) & (target > 0.0);
    const auto where_inside = [&](V x) { return select(inside, x, nan); };
    return {.value = where_inside(2.0 * select(endless, infinite, (u - log.high) - log.low)),
            .grad = where_inside(-2.0 * (u / pred)),
            .hess = where_inside(4.0 * ((0.5 + u) / pred / pred))};
  }
};

/// 2 (t^b/(a b) - t m^a/a + m^b/b) with a = 1 - power, b = 2 - power, and its limits, of a mean m = pred, or exp(pred). All is written as
/// the larger of m^b, t m^a and t^b, which alone may be out of range, times a bracket of l = |log(t/m)|, q = min(m, t)/max(m, t) and
/// g = 1 - q. Swapping m and t swaps b and -a, so one bracket does for both sides. A negative target, up to power 0, makes q negative.
struct TweedieDeviance {
  static constexpr auto name = "tweedie_deviance";
  double power, log_input;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const bool of_log = log_input != 0.0;
    if (power == 2.0) return GammaDeviance{log_input}(pred, target);
    if (power == 0.0 && !of_log) {
      const V r = pred - target;
      return {.value = r * r, .grad = 2.0 * r, .hess = 2.0};
    }
    if (power == 1.5 && !of_log) return by_roots(pred, target);
    using T = typename V::Scalar;
    const double a = 1.0 - power, b = 2.0 - power;
    const V size = abs(target);
    const auto none = target == 0.0, endless = pred == infinite;
    simd::Two<T> log_mean;
    auto above = size > pred;  // t beyond m
    V l, q, g;
    const auto log_of_size = [&] { return select(size == infinite, {infinite, 0.0}, simd::log_in_two(size)); };
    if (of_log) {
      const auto log_target = log_of_size();
      log_mean = {pred, 0.0};
      const V log_ratio = select(none, -infinite, (log_target.high - pred) + log_target.low);
      above = log_ratio > 0.0;
      l = abs(log_ratio);
      const V e = exp_nonpositive(-l);
      g = select(target < 0.0, 1.0 + e, -expm1(-l));
      q = copysign(e, target);
    } else {
      log_mean = select(endless, {infinite, 0.0}, simd::log_in_two(pred));
      const V larger = select(above, target, pred), smaller = select(above, pred, target);
      const SmallRatio<V> ratio(smaller, larger, abs(smaller) < SmallRatio<V>::least * abs(larger));
      g = select(endless, 1.0, (larger - smaller) / larger);
      q = select(ratio.tiny, 0.0, ratio.value);
      l = select(none | endless, infinite, -simd::log1p_of_both_in_two(-g, ratio.value, ratio.shift()).sum());
    }

    // The derivative's power of the mean, times the mean where that is the value's.
    const double slope_under = of_log ? b : a, slope_over = of_log ? a : -power;
    const auto slope_power =
        simd::scaled_exp(select(above, simd::log_of_power(log_mean, slope_over), simd::log_of_power(log_mean, slope_under)));
    auto value_power = slope_power;
    if (!of_log) value_power = select(endless, {simd::Scaled<T>::most, 1.0}, simd::times(slope_power, pred));

    const Bracket low(b, -a), high(-a, b);
    const V rate = select(above, high.rate, low.rate), up_to = min(l, select(above, high.most, low.most));
    const V rise = select(rate == 0.0, up_to, -expm1(-rate * up_to) * select(above, high.inverse, low.inverse));
    V bracket = select(above, high(rise, q, g), low(rise, q, g)), base = select(above, target, 1.0);
    if (power > 2.0 || power < 1.0) {
      const auto negative = target < 0.0, of_target = power > 2.0 ? !above : power == 0.0 ? above : above & !negative;
      value_power = select(of_target, simd::scaled_exp(simd::log_of_power(log_of_size(), b)), value_power);
      if (power < 1.0) {
        const V share = abs(q), of_negative = select(above, 1.0 / a + share / b, 1.0 / b + share / a);
        bracket = power == 0.0 ? 0.5 * g * g : select(negative, of_negative, bracket);
        base = select(above & !of_target, size, 1.0);
      }
    }

    // Where one of two terms has no part, q might lose the digits of the other.
    const double bend = of_log ? b : a, bend_target = of_log ? -a : power;
    const auto everywhere = target == target, by_target = bend == 0.0 ? everywhere : bend_target == 0.0 ? !everywhere : above;
    const auto bend_power = simd::scaled_exp(
        select(by_target, simd::log_of_power(log_mean, of_log ? a : -power - 1.0), simd::log_of_power(log_mean, of_log ? b : -power)));
    const auto inside = (of_log ? pred == pred : pred > 0.0) & (power > 2.0    ? target > 0.0
                                                                : power >= 1.0 ? target >= 0.0
                                                                               : target == target);
    const auto where_inside = [&](V x) { return select(inside, x, std::numeric_limits<double>::quiet_NaN()); };
    return {.value = where_inside(simd::product(base, 2.0 * bracket, value_power)),
            .grad = where_inside(simd::product(select(above, -target, 1.0), 2.0 * g, slope_power)),
            .hess = where_inside(simd::product(select(by_target, target, 1.0),
                                               2.0 * select(by_target, fma(V(bend), q, V(bend_target)), fma(V(bend_target), q, V(bend))),
                                               bend_power))};
  }

 private:
  static constexpr double infinite = std::numeric_limits<double>::infinity();

  /// Of power 1.5: 4 (sqrt m - sqrt t)² / sqrt m, in a third of the time of powers.
  template <class V>
  PYLOSS_INLINE static Terms<V> by_roots(V pred, V target) {
    const V r = pred - target, root = sqrt(pred), inverse = 1.0 / root, w = r / (root + sqrt(target));
    const auto endless = abs(r) == infinite, inside = (pred > 0.0) & (target >= 0.0);
    const auto where_inside = [&](V x) { return select(inside, x, std::numeric_limits<double>::quiet_NaN()); };
    return {.value = where_inside(select(endless, infinite, 4.0 * (w * (w * inverse)))),
            .grad = where_inside(select(pred == infinite, 0.0, 2.0 * (r * inverse * inverse * inverse))),
            .hess = where_inside((3.0 * (target * inverse * inverse) - 1.0) * inverse * inverse * inverse)};
  }

  /// What multiplies the base where m is larger: (e^-ul - 1 + u g)/(-u v), u + v = 1, or where u < 0 that times e^ul. By
  /// rise = (1 - e^-rl)/r for a rate r, whichever leaves a divisor that is not small.
  struct Bracket {
    double u, v, rate, inverse, most;
    bool by_v;

    Bracket(double of_larger, double of_smaller) : u(of_larger), v(of_smaller), by_v(std::abs(v) >= 0.5) {
      rate = by_v ? std::abs(u) : -v;
      inverse = rate == 0.0 ? 0.0 : 1.0 / rate;
      most = by_v ? infinite : 100.0;  // there q outweighs the rise
    }

    template <class V>
    PYLOSS_INLINE V operator()(V rise, V q, V g) const {
      if (!by_v) return (g - q * rise) * (1.0 / u);
      return (rise - (u < 0.0 ? (1.0 - rate * rise) * g : g)) * (1.0 / v);
    }
  };
};

/// With r = 1/dispersion, the mean m = e^pred, u = m/r, v = t/r and d = t - m, no sum below loses more digits than its inputs have:
/// t log(t/m (1 + u)/(1 + v)) - r log((1 + v)/(1 + u)) is the divergence from the best mean, t, whose own likelihood is left to Stirling's
/// formula. Where r < 1, the formula is taken one step further on.
struct NegativeBinomialNLL {
  static constexpr auto name = "negative_binomial_nll";

  template <class V>
  JointTerms<V, 2> operator()(V pred, V target, V dispersion) const {
    using T = typename V::Scalar;
    // Logarithms are taken of a mean within the type's range, where more of it only adds to them.
    constexpr double cap = sizeof(T) == 4 ? 60.0 : 600.0, tiny = std::numeric_limits<T>::min();
    const V t = target, r = 1.0 / dispersion, v = dispersion * t, z = t + r;
    const V e = exp_nonpositive(-abs(pred)), above = select(pred > 0.0, 1.0, e), below = select(pred > 0.0, e, 1.0);  // of the mean
    const V inverse = 1.0 / fma(dispersion, above, below), pull = (t * below - above) * inverse;                      // d/(1 + u)
    const V root = exp_nonpositive(-0.5 * abs(pred)) * inverse;                                                       // of m/(1 + u)²
    const V m = above / max(below, std::exp(-cap)), u = dispersion * m, d = t - m, size = abs(d), w = dispersion * pull;
    const V low = min(m, t), high = max(m, t), of_t = 1.0 / (1.0 + v);

    const auto rare = pred < -cap;
    const V odds = log1p_or_log(size / (low * fma(dispersion, high, V(1.0))), rare, t * of_t);
    const V log_odds = select(rare, odds - pred, copysign(odds, d));
    const V gap = size / fma(dispersion, low, V(1.0)), excess = dispersion * gap;
    const V log_rest = copysign(log1p(excess), d) - max(pred - cap, 0.0);
    const V of_rest = select(excess < 1e-30, copysign(gap, d), r * log_rest);  // the excess may be subnormal

    const auto few = r < 1.0;
    const V of_z = 1.0 / (z + 1.0), of_r = 1.0 / (r + 1.0), step = log1p(t / r * of_z), last = log1p(1.0 / z);
    const simd::StirlingFall<T> fall(select(few, r + 1.0, r), t);
    const V of_counts = log1p(1.0 / max(t, tiny)) + log_odds - select(few, last, 0.0);
    const V best =
        0.5 * (log1p(t) + log1p(v)) + select(few, (r + 0.5) * step, 0.0) + (fall.value() - simd::StirlingFall<T>(1.0, t).value());

    // Near the best mean, w - log(1 + w) = w h - 2 (atanh(h) - h) by h = w/(2 + w).
    const V rest = 1.0 / (2.0 + u + v), k = d * rest, h = dispersion * k, p = simd::atanh_above_tangent(h * h);
    const auto near = abs(h) < 0.5;
    const V squared = pull * pull, short_of = w - log_rest, share = t * of_t;
    const V slope = select(near, pull * k - 2.0 * h * k * k * p, r * r * short_of);
    const V bend = select(near, squared * rest * fma(share, fma(V(2.0), u, V(1.0)), m * of_t) - 4.0 * k * k * k * p,
                          r * (r * r * 2.0 * short_of - squared * of_t));

    // q = b/(b + t) for the b at which the remainder is taken, c = r/b.
    const V ahead = select(few, 1.0, 0.0), base = r + ahead, c = select(few, r * of_r, 1.0), to = 1.0 / (base + t), q = base * to,
            q3 = q * q * q;
    const V lost = t * to;  // 1 - q
    const auto rate = fall.slope(), second = fall.bend();
    const V rate_falls = c * c * fma(lost * (1.0 + q), rate.at, q * q * rate.by);
    const V curve = fma(lost * (1.0 + q + q * q + q3 + q3 * q), second.at, q3 * q * q * second.by);
    const V turn = ahead * fma(lost * (1.0 + q + q * q), rate.at, q3 * rate.by) - t * q3 * (rate.at - rate.by);
    const V bend_falls = c * c * c * (2.0 * turn - c * c * dispersion * curve);

    // The same of the step, (r + 1/2) log(1 + 1/r) - 1: its fall is the error of a trapezoid rule.
    const V sum = r * (z + 1.0) + (r + 1.0) * z, g = t / sum, q_step = (r * of_r) * (r * of_z);
    const V trapezoid = r * (r * g) * g * (2.0 * g) * simd::atanh_above_tangent(g * g) - 0.5 * share * (of_r * of_z) * fma(t, g, V(1.0));
    const V step_falls = select(g < 0.5, trapezoid, r * r * step - 0.5 * fma(t, q_step, share));
    const V far = of_z / z, between = t * (t + 2.0 * r + 1.0) * far * of_r;
    const V step_bends = 2.0 * r * step_falls + 0.5 * r * r * between * (of_r + r * far);

    const auto inside = (t >= 0.0) & (dispersion > 0.0);
    const auto where_inside = [&](V x) { return select(inside, x, std::numeric_limits<double>::quiet_NaN()); };
    return {.value = where_inside(times_or_zero(t, of_counts) - of_rest + best),
            .grad = {where_inside((above - t * below) * inverse),
                     where_inside(0.5 * share - slope - rate_falls - select(few, step_falls, 0.0))},
            .hess = {where_inside((1.0 + v) * root * root),
                     where_inside(bend - 0.5 * share * share + bend_falls + select(few, step_bends, 0.0))}};
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
