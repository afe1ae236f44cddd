// Binary classification: losses of a raw score, or of a probability, against a target.
#pragma once

#include <limits>

#include "terms.hpp"

namespace pyloss {

/// z is the logit, target in [0, 1]. With e = exp(-|z|) in [0, 1] nothing overflows; -log p and -log(1 - p) are log(1 + e), one of them
/// plus |z|, so that nothing cancels.
struct BCEWithLogits {
  static constexpr auto name = "bce_with_logits";
  double smoothing;

  template <class V>
  Terms<V> operator()(V z, V target, V pos_weight) const {
    const V t = fma(target, 1.0 - smoothing, 0.5 * smoothing), on = pos_weight * t, off = 1.0 - t;
    const V e = exp_nonpositive(-abs(z)), s = 1.0 / (1.0 + e);
    const auto negative = signbit(z);
    // Of the two classes, the one that the score speaks against; its probability is e s, the other's s.
    const V against = select(negative, on, off), favoured = select(negative, off, on);
    return {.value = fma(on + off, log1p_unit(e), times_or_zero(against, abs(z))),
            .grad = turn(fma(against, s, -(favoured * (e * s))), z),
            .hess = (on + off) * (e * s * s)};
  }
};

/// pred is a probability. The logarithms are clipped to [low, high], which is [-100, 0] without eps (negative then) and otherwise
/// [log eps, log(1 - eps)]: 1 - eps itself has no exact neighbour of 1 in float32. Without eps, derivatives are those at a distance of
/// 1e-12 from the end of the unit interval where that is nearer; with eps, they are 0 beyond it.
struct BCE {
  static constexpr auto name = "bce";
  double eps, low, high;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    const bool clipped = eps >= 0.0;
    const V p = clipped ? clamp(pred, 0.0, 1.0) : pred, q = 1.0 - p, off = 1.0 - target;
    const V over_p = 1.0 / max(p, 1e-12), over_q = 1.0 / max(q, 1e-12), on_p = target * over_p, off_q = off * over_q;
    const V value = -fma(target, clamp(log(p), low, high), off * clamp(log1p(-p), low, high));
    const auto no_probability = (p < 0.0) | (q < 0.0), beyond = (p < eps) | (q < eps);
    const V outside = clipped ? V(0.0) : V(nan);
    const auto where = clipped ? beyond : no_probability;
    return {
        .value = value, .grad = select(where, outside, off_q - on_p), .hess = select(where, outside, fma(on_p, over_p, off_q * over_q))};
  }
};

/// What the losses of a logit z share. With e = exp(-|z|) and s = 1/(1 + e), one of p = sigmoid(z) and q = 1 - p is s, the other e s. A
/// factor of such a product is multiplied in between the two of e, while all is normal.
template <class V>
struct Logit {
  simd::Factors<typename V::Scalar> of_e;
  V e, s, p, q, excess, difference;  // excess: log(1 + e); difference: q - p
  simd::Mask<typename V::Scalar> negative;

  PYLOSS_INLINE explicit Logit(V z)
      : of_e(simd::exp_in_factors(-abs(z))), e(of_e.first * of_e.second), s(1.0 / (1.0 + e)), excess(log1p_unit(e)), negative(signbit(z)) {
    p = select(negative, e * s, s);
    q = select(negative, s, e * s);
    difference = turn((e - 1.0) * s, z);
  }

  /// q times a factor.
  PYLOSS_INLINE V times_q(V factor) const { return select(negative, factor * s, (factor * s * of_e.first) * of_e.second); }
  /// p times a factor.
  PYLOSS_INLINE V times_p(V factor) const { return select(negative, (factor * s * of_e.first) * of_e.second, factor * s); }
};

/// Cross-entropy times m^gamma, where m = p (1 - t) + q t is the probability missed; alpha < 0 is none. m is s M, where `against` is the
/// target's share of the class that the score speaks against. With u = m'/m, the derivatives are m^gamma times sums.
struct Focal {
  static constexpr auto name = "focal";
  double gamma, alpha;

  template <class V>
  Terms<V> operator()(V z, V target) const {
    const Logit<V> at(z);
    const V off = 1.0 - target;
    const V against = select(at.negative, target, off), favoured = select(at.negative, off, target);
    const V missed = fma(favoured, at.e, against), power = pow(at.s * missed, gamma);
    const V cross_entropy = at.excess + times_or_zero(against, abs(z));
    const V slope = turn(fma(against, at.s, -(favoured * (at.e * at.s))), z);
    // u = U times the second factor of e
    const V U = (off - target) * at.s * select(missed == 0.0, 0.0, at.of_e.first / missed), u = U * at.of_e.second;
    const V cross_U = times_or_zero(U, cross_entropy);
    const V bend = fma(V(gamma - 1.0), u, at.difference);
    const V scale = alpha < 0.0 ? power : fma(V(alpha), target, (1.0 - alpha) * off) * power;
    return {.value = times_or_zero(scale, cross_entropy),
            .grad = scale * fma(V(gamma), cross_U * at.of_e.second, slope),
            .hess = scale * (at.e * at.s * at.s + 2.0 * gamma * slope * u + gamma * (cross_U * bend) * at.of_e.second)};
  }
};

/// t q^gamma_pos (-log p) + (1 - t) m^gamma_neg (-log(1 - m)), m = max(p - clip, 0). With rest = 1 - m, both terms' derivatives are the
/// power times sums of positive parts, and nothing but gamma p against q, or p against clip, cancels.
struct AsymmetricFocal {
  static constexpr auto name = "asymmetric_focal";
  double gamma_pos, gamma_neg, clip;

  template <class V>
  PYLOSS_INLINE Terms<V> operator()(V z, V target) const {
    const Logit<V> at(z);
    const V off = 1.0 - target;
    const Terms<V> on = positive(at, z), none = negative(at, z);
    return {.value = times_or_zero(target, on.value) + times_or_zero(off, none.value),
            .grad = fma(target, on.grad, off * none.grad),
            .hess = fma(target, on.hess, off * none.hess)};
  }

 private:
  template <class V>
  PYLOSS_INLINE Terms<V> positive(const Logit<V>& at, V z) const {
    const V cost = at.excess + max(-z, 0.0), miss = at.excess + max(z, 0.0);
    if (gamma_pos == 0.0) return {.value = cost, .grad = -at.q, .hess = at.p * at.q};
    const V power = exp_nonpositive(-gamma_pos * miss);
    const V cost_p = select(cost == infinite, 0.0, at.times_p(cost));
    return {.value = power * cost,
            .grad = -power * fma(V(gamma_pos), cost_p, at.q),
            .hess = power * fma(gamma_pos * cost_p, fma(V(gamma_pos), at.p, -at.q), (1.0 + 2.0 * gamma_pos) * (at.p * at.q))};
  }

  template <class V>
  PYLOSS_INLINE Terms<V> negative(const Logit<V>& at, V z) const {
    V m = at.p, cost = at.excess + max(z, 0.0), v = at.q, pw = at.p;  // v = p q / m, pw = p q / rest
    V bends = (1.0 + 2.0 * gamma_neg) * at.p;                         // p / rest (2 gamma v + q - p clip / rest)
    if (clip > 0.0) {
      // Near z = 0, tanh has more places than p to subtract from.
      V above = at.p - clip;
      if (clip > 0.25 && clip < 0.75) above = select(abs(z) < 1.0, fma(tanh(0.5 * z), V(0.5), V(0.5 - clip)), above);
      m = max(above, 0.0);
      const V rest = at.q + clip, odds = at.p / rest;
      cost = -log1p_of_both(-m, min(rest, 1.0));  // where p is below the clip, m is 0
      v = at.p * at.q / m, pw = at.times_q(odds);
      bends = odds * fma(V(2.0 * gamma_neg), v, at.q - odds * clip);
    }
    const auto nothing = m == 0.0;
    const V power = pow(m, gamma_neg);
    const V ratio = select(cost == infinite, 0.0, at.times_q(cost / m * at.p));
    // Both terms have the same q, so that its error does not grow where they cancel.
    const V bend = fma(gamma_neg * ratio, fma(V(gamma_neg - 1.0), v, at.difference), at.times_q(bends));
    return {.value = times_or_zero(power, cost),
            .grad = select(nothing, 0.0, power * fma(V(gamma_neg), ratio, pw)),
            .hess = select(nothing, 0.0, power * bend)};
  }

  static constexpr double infinite = std::numeric_limits<double>::infinity();
};

/// target is -1 or +1.
struct Hinge {
  static constexpr auto name = "hinge";
  double margin;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V slack = margin - target * pred;
    const V excess = max(slack, 0.0);
    return {.value = excess, .grad = select(slack > 0.0, -target, excess), .hess = 0.0};
  }
};

/// target is -1 or +1.
struct SquaredHinge {
  static constexpr auto name = "squared_hinge";
  double margin;

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V slack = max(margin - target * pred, 0.0);
    return {.value = slack * slack, .grad = -2.0 * target * slack, .hess = select(slack == 0.0, 0.0, 2.0 * target * target)};
  }
};

/// The squared hinge up to a slack of 2, linear beyond, as in Huber.
struct ModifiedHuber {
  static constexpr auto name = "modified_huber";

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V slack = max(1.0 - target * pred, 0.0), q = min(slack, 2.0);
    const auto straight = (slack == 0.0) | (slack > 2.0);
    return {.value = q * (2.0 * slack - q), .grad = -2.0 * target * q, .hess = select(straight, 0.0, 2.0 * target * target)};
  }
};

/// target is -1 or +1.
struct Exponential {
  static constexpr auto name = "exponential";

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V value = exp(-(target * pred)), grad = -target * value;
    return {.value = value, .grad = grad, .hess = -target * grad};
  }
};

/// target is -1 or +1: softplus of x = -target pred.
struct Logistic {
  static constexpr auto name = "logistic";

  template <class V>
  Terms<V> operator()(V pred, V target) const {
    const V x = -(target * pred), e = exp_nonpositive(-abs(x)), s = 1.0 / (1.0 + e);
    return {.value = max(x, 0.0) + log1p_unit(e), .grad = -target * select(signbit(x), e * s, s), .hess = target * target * (e * s * s)};
  }
};

}  // namespace pyloss
