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
    return {.value = select(r < 0.0, -q, 1.0 - q) * r, .grad = slope, .hess = 0.0};
  }
};

/// log(cosh(r)); the textbook's |r| + log1p(exp(-2|r|)) - log 2 cancels near 0, simd's log_cosh does not.
struct LogCosh {
  static constexpr auto name = "log_cosh";

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const auto [value, slope, bend] = log_cosh(pred - target);
    return {.value = value, .grad = slope, .hess = bend};
  }
};

struct MSLE {
  static constexpr auto name = "msle";

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    // log((1 + pred) / (1 + target)); where the two are alike, their difference keeps its digits.
    const V below = 1.0 + target, by = (pred - target) / below;
    const V d = log1p_of_both(by, (1.0 + pred) / below);
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
    // Of ordinary sums the quotients of 2 are ordinary too, and a subnormal target keeps its digits; other sums divide the target first.
    const auto ordinary = (sum > 1e-9) & (sum < 1e9), alone = pred == 0.0;
    const V size = abs(target), quotient = select(ordinary, 2.0, size) / sum;
    const V twice = select(ordinary, quotient, 2.0 * select(alone, 1.0, quotient)) / sum;
    const V factor = select(ordinary, size, 1.0), square = factor * twice, cube = factor * (4.0 * (twice / sum));
    const V slope = select(alike, 2.0 * square, select(alone, square, 0.0 * r));
    return {.value = select(same, 0.0, 2.0 * (abs(r) / sum)),
            .grad = select(same, 0.0, sign(r) * slope),
            .hess = select(alike & (r != 0.0), -sign(pred) * sign(r) * cube, select(alone, 0.0, 0.0 * r))};
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
    return scaled(pred - target, delta, delta);
  }
  /// With `width` for delta, times factor / width.
  template <class V>
  static Terms<V> scaled(V r, double width, double factor) {
    const V u = over(r, width), size = abs(u);
    const auto far = size > 1e9;
    // One quotient for 1 / s and 1 / (1 + s): divisions are what takes the time.
    constexpr double most = sizeof(typename V::Scalar) == 4 ? 1e18 : 1e150;  // whose square is in range
    const V bounded = min(size, most), square = fma(bounded, bounded, V(1.0)), s = sqrt(square);
    const V both = 1.0 / (s + square), inverse = (1.0 + s) * both;
    return {.value = factor * select(far, abs(r) - width, abs(r) * (size * (s * both))),
            .grad = factor * select(far, sign(u), u * inverse),
            .hess = (factor / width) * (inverse * inverse * inverse)};
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
    // c in two parts: what r lacks to it keeps its digits. And squares of the clipped residual, not of its share of c, which may be
    // subnormal where the loss is not.
    using T = typename V::Scalar;
    constexpr double least = std::numeric_limits<T>::denorm_min(), most = std::numeric_limits<T>::max();
    const double whole = c < least ? least : c > most ? most : c, width = static_cast<double>(static_cast<T>(whole)), rest = whole - width;
    const V r = pred - target, size = min(abs(r), width), lack = select(size < width, width - size + rest, 0.0 * size);
    const V a = over(size, width), v = over(lack, width) * (1.0 + a);
    return {.value = size * (1.0 / 6.0) * size * (1.0 + v + v * v), .grad = turn(size, r) * v * v, .hess = v * (v - 4.0 * a * a)};
  }
};

/// log(1 + u²/2) with u = r / c, also where u² would overflow.
struct Cauchy {
  static constexpr auto name = "cauchy";
  double c;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V r = pred - target, u = over(r, c);
    const auto far = abs(u) > 1e18;
    const V half = 0.5 * u * u, sum = 1.0 + half, inverse = 1.0 / select(far, r, sum);
    const V log = log1p_of_both(select(far, abs(r) - 1.0, half), select(far, abs(r), sum));
    return {.value = select(far, 2.0 * log - std::log(2.0 * c * c), log),
            .grad = select(far, 2.0 * inverse, over(u * inverse, c)),
            .hess = select(far, -2.0 * inverse * inverse, over(over((1.0 - half) * inverse * inverse, c), c))};
  }
};

/// 1 - exp(-u²/2) with u = r / c, which is 1 long before |u| is 200. The root of the exponential is still normal where it is not.
struct Welsch {
  static constexpr auto name = "welsch";
  double c;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V u = clamp(over(pred - target, c), -200.0, 200.0), square = u * u, root = exp_nonpositive(-0.25 * square);
    return {.value = -expm1(-0.5 * square), .grad = over(u, c) * root * root, .hess = (1.0 - square) / (c * c) * root * root};
  }
};

/// 2 u² / (u² + 4) with u = r / c, scaled by a power of two where u² would overflow.
struct GemanMcClure {
  static constexpr auto name = "geman_mcclure";
  double c;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    using T = typename V::Scalar;
    constexpr double largest = std::numeric_limits<T>::max(), much = sizeof(T) == 4 ? 1e18 : 1e150,
                     tiny = sizeof(T) == 4 ? 0x1p-65 : 0x1p-520;
    const V whole = clamp(over(pred - target, c), -largest, largest);
    const auto far = abs(whole) > much;
    const V scale = select(far, tiny, 1.0), u = whole * scale, four = 4.0 * scale * scale, square = u * u;
    const V w = 1.0 / (four + square), slope = 4.0 / c * scale * w * scale;
    return {.value = select(far | (square > 16.0), 2.0 - 2.0 * (four * w), 2.0 * square * w),
            .grad = slope * (u * (4.0 * w) * scale),
            .hess = slope * slope * ((four - 3.0 * square) * w)};
  }
};

/// |alpha - 2| / alpha ((1 + z)^(alpha/2) - 1) with u = r / c and z = u² / |alpha - 2|, and its limits at alpha = 2, 0 and -inf.
template <class V>
struct BarronAt {
  BarronAt(V residual, V shape, V c)
      : alpha(max(shape, far_below)),
        below(shape < far_below),
        square(shape == 2.0),
        r(residual),
        inverse(1.0 / c),
        b(abs(alpha - 2.0)),
        root(sqrt(b)),
        side(select(alpha < 2.0, 1.0, -1.0)),
        ratio(b / alpha),
        u(r / c),
        size(abs(u)) {
    const V steep = size / root, w = 1.0 / (1.0 + steep * steep), scaled = abs(r) * 0x1p-32 / c / root, over_root = 0x1p-32 / scaled;
    z = steep * steep;
    near = z < (single ? 0x1p-26 : 0x1p-55);
    far = steep > (single ? 1e18 : 1e100);
    left = select(far, over_root * over_root, w);
    drop = select(far, 1.0, z * w);
    base = log1p_in_two(select(far, scaled, z), select(far, 32.0, 0.0));
    l = base.sum() * select(far, 2.0, 1.0);
    half = select(near, 0.5 * u * u, 0.5 * b * l);
    h = exp(times(power(sum_in_two(alpha, V(-2.0)), -side * half), V(0.5)));
  }

  V value() const {
    const Two exponent = of_alpha();
    const V p = exponent.high, rise = h * size;
    const V inside =
        select(abs(p) < 1e-8, half * (1.0 + 0.5 * p), select(p > 1.0, rise / (alpha * drop) * rise - ratio, expm1(exponent) * ratio));
    return limits(0.5 * u * u, select(alpha < 0.0, -ratio, inf), inside);
  }

  V grad() const {
    const V at_infinity = select(alpha > 1.0, r, select(alpha == 1.0, copysign(inverse, r), 0.0));
    return limits(u * inverse, at_infinity, h * u * inverse * h);
  }
  V hess() const { return limits(inverse * inverse, select(alpha > 2.0, inf, 0.0), h * inverse * bend() * (h * inverse)); }

  V by_c() const {
    const V at_infinity = select(alpha > 0.0, inf, select(alpha == 0.0, 2.0 * inverse, 0.0));
    return -limits(u * u * inverse, at_infinity, h * u * inverse * (h * u));
  }
  V by_c_twice() const { return -by_c() * inverse * (2.0 + limits(1.0, alpha - 1.0, bend())); }

  // With L = log(1 + z), k = alpha/2, p = kL and q = z / (1 + z), the derivative by alpha is |alpha - 2|/4 times the integral of
  // e^(kt) (t - 1 + e^-t) from 0 to L. By parts, where phi_n is the integral of t^n e^(pt) from 0 to 1 and m = L - q, it is half of
  // L² phi_1 - e^p m, and the next one a quarter of L³ phi_2 - e^p m², both with their signs turned where alpha > 2. If p and L are nearly
  // equal, so are the terms: then the difference is written out.

  V by_alpha() const {
    const auto [p, g] = growth();
    const V k = 0.5 * alpha, scale = 1.0 / (k * k), m = lag();
    const V moment = select(abs(p) < 1e-8, l * l * (0.5 - p * (1.0 / 6.0)), scale * expm1_above_tangent(-p));  // e^-p L² phi_1
    const V apart = 0.5 * side * select(p < -1.0, scale * (1.0 + (p - 1.0) * g * g) - g * m * g, g * (moment - m) * g);
    const V close = 0.5 * scale * (0.5 * (g * b * (k * l - (1.0 + k) * drop) * g) - side * expm1(-side * half));
    const V small = 0.5 * half * (g * (l * l * series(p).both) * g);
    return by_alpha_limits(select(alpha < 0.0, 0.5 * scale, inf), select(half < 0.5, select(l < 1.0, small, close), apart));
  }
  V by_alpha_twice() const {
    const auto [p, g] = growth();
    const V low = max(p, -1e4), k = 0.5 * alpha, inverse_k = 1.0 / k, scale = inverse_k * inverse_k * inverse_k;
    const V m = lag(), gone = -expm1(-p), lead = k - 1.0;
    const V moment =
        select(abs(p) < 2.0, 2.0 * (l * l) * (l * series(p).one), 2.0 * scale * (0.5 * p * (p - 2.0) + gone));  // e^-p L³ phi_2
    const V falling = scale * ((low * low - 2.0 * low + 2.0) * g * g - 2.0);                                    // L³ phi_2
    const V apart = select(p > -2.0, g * (moment - m * m) * g, falling - g * m * m * g);
    const V close = g * (2.0 * scale * gone - l * l * lead * inverse_k - 2.0 * l * (left - lead * (k + 1.0) / (k * k)) - drop * drop) * g;
    const V inside = 0.25 * side * select((alpha > 1.5) & (l >= 2.0), close, apart);
    return by_alpha_limits(select(alpha < 0.0, -0.5 * scale, inf), inside);
  }

  using T = typename V::Scalar;
  using Two = simd::Two<T>;
  static constexpr bool single = sizeof(T) == 4;
  static constexpr double inf = std::numeric_limits<double>::infinity(),
                          far_below = -1e30;  // from there on alpha is -inf to the last digit

  /// At alpha = 2, for infinite residuals, and else.
  V limits(V at_two, V at_infinity, V inside) const { return select(square, at_two, select(size == inf, at_infinity, inside)); }
  V by_alpha_limits(V at_infinity, V inside) const {
    return select(below, unless_nan<V>(r, 0.0), limits(select(r == 0.0, 0.0, inf * size), at_infinity, inside));
  }

  /// log of (1 + z)^(y/2); `tiny` where log(1 + z) is z.
  Two power(Two y, V tiny) const {
    const V share = select(far, 1.0, 0.5);
    const Two away = times(base, Two{y.high * share, y.low * share});
    return {select(near, tiny, away.high), select(near, 0.0, away.low)};
  }
  Two of_alpha() const { return power({alpha, 0.0}, alpha / b * half); }
  /// L - q
  V lag() const {
    const V apart = select(far, l - 1.0, base.high - 1.0) + left + select(far, 0.0, base.low);
    return select(l >= 1.0, apart, expm1_above_tangent(-l));
  }

  /// p and e^(p/2): e^p may overflow where what it is multiplied by makes it finite.
  struct Growth {
    V p, root;
  };
  Growth growth() const {
    const Two exponent = of_alpha();
    return {exponent.high, exp(times(exponent, V(0.5)))};
  }

  /// 1 + (alpha - 1) z, over 1 + z.
  V bend() const { return select(near, (alpha - 1.0) / b * (u * u), (alpha - 1.0) * drop) + left; }

  /// (e^-p - 1 + p - p²/2) / -p³, and the same of two arguments, p and L: minus the slope of (e^x - 1 - x) / x² from -L to -p.
  struct Series {
    V one, both;
  };
  Series series(V p) const {
    constexpr int terms = single ? 14 : 22;
    V coefficient[terms];
    double factorial = 6.0;
    for (int n = 0; n < terms; ++n) {
      coefficient[n] = 1.0 / factorial;
      factorial *= n + 4.0;
    }
    Series sum = {coefficient[terms - 1], coefficient[terms - 1]};
    for (int n = terms - 2; n >= 0; --n) {
      sum.one = fma(sum.one, -p, coefficient[n]);
      sum.both = fma(sum.both, -l, sum.one);
    }
    return sum;
  }

  V alpha;
  decltype(V{} == V{}) below, square;
  V r, inverse, b, root, side, ratio, u, size;  // side: 1 where alpha < 2, else -1
  // `near` is where log(1 + z) is z. Where z might overflow, `far`, 1 + z is z, and the square of its root.
  decltype(V{} == V{}) near, far;
  V z, left, drop;  // left: 1 / (1 + z), drop: z / (1 + z)
  Two base;         // log(1 + z); far away, its half
  V l, half;        // log(1 + z), and half of it times |alpha - 2|
  V h;              // root of (1 + z)^(alpha/2 - 1)
};

struct Barron {
  static constexpr auto name = "barron";
  double alpha, c;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    if (alpha == 0.0) return Cauchy{c}(pred, target);
    if (alpha == -std::numeric_limits<double>::infinity()) return Welsch{c}(pred, target);
    const V r = pred - target;
    if (alpha == 1.0) return PseudoHuber::scaled(r, c, 1.0 / c);
    if (alpha == 2.0) return {.value = 0.5 * (r / c) * (r / c), .grad = r / (c * c), .hess = 1.0 / (c * c)};
    const BarronAt<V> at(r, alpha, c);
    return {.value = at.value(), .grad = at.grad(), .hess = at.hess()};
  }
};

// Its parameters as inputs.

struct BarronOfAlpha {
  static constexpr auto name = "barron_of_alpha";
  double c;

  template <class V>
  JointTerms<V, 2> operator()(V pred, V target, V alpha) const {
    const BarronAt<V> at(pred - target, alpha, c);
    return {.value = at.value(), .grad = {at.grad(), at.by_alpha()}, .hess = {at.hess(), at.by_alpha_twice()}};
  }
};

struct BarronOfC {
  static constexpr auto name = "barron_of_c";
  double alpha;

  template <class V>
  JointTerms<V, 2> operator()(V pred, V target, V c) const {
    const BarronAt<V> at(pred - target, alpha, c);
    return {.value = at.value(), .grad = {at.grad(), at.by_c()}, .hess = {at.hess(), at.by_c_twice()}};
  }
};

struct BarronOfBoth {
  static constexpr auto name = "barron_of_both";

  template <class V>
  JointTerms<V, 3> operator()(V pred, V target, V alpha, V c) const {
    const BarronAt<V> at(pred - target, alpha, c);
    return {.value = at.value(), .grad = {at.grad(), at.by_alpha(), at.by_c()}, .hess = {at.hess(), at.by_alpha_twice(), at.by_c_twice()}};
  }
};

}  // namespace pyloss
