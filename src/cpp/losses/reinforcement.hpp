// Reinforcement learning: losses of log-probabilities of the actions taken, and of predicted returns and their quantiles.
#pragma once

#include <algorithm>
#include <limits>

#include "regression.hpp"
#include "terms.hpp"

namespace pyloss {

struct PolicyGradient {
  static constexpr auto name = "policy_gradient";

  template <class V>
  Terms<V> operator()(V log_prob, V advantage) const {
    return {.value = -(log_prob * advantage), .grad = unless_nan(log_prob, -advantage), .hess = 0.0};
  }
};

/// -min(ratio A, clip(ratio) A), ratio = exp(log_prob - old). Where the clipped one is smaller there is no slope.
struct PPOClip {
  static constexpr auto name = "ppo_clip";
  double clip;

  template <class V>
  Terms<V> operator()(V log_prob, V old, V advantage) const {
    const V ratio = exp(log_prob - old), below = min(ratio, 1.0 + clip), above = max(ratio, 1.0 - clip);
    const V used = select(advantage > 0.0, below, select(advantage < 0.0, above, clamp(ratio, 1.0 - clip, 1.0 + clip)));
    const V value = -(used * advantage), grad = select(used == ratio, value, 0.0 * value);
    return {.value = value, .grad = grad, .hess = grad};
  }
};

/// PPOClip and kl times e^d - 1 - d, d = reference - log_prob: an estimate of the divergence from the reference policy.
struct GRPO {
  static constexpr auto name = "grpo";
  double clip, kl;

  template <class V>
  Terms<V> operator()(V log_prob, V old, V advantage, V reference) const {
    const Terms<V> policy = PPOClip{clip}(log_prob, old, advantage);
    if (kl == 0.0) return policy;
    constexpr double infinite = std::numeric_limits<double>::infinity();
    const V d = reference - log_prob;
    // kl e^d may be finite where e^d is not.
    const V root = exp(0.5 * d), rate = (kl * root) * root;
    const auto far = d > 64.0;
    const V slope = select(far, rate, kl * expm1(d));
    // Of two infinities, the one of the larger exponent.
    const auto both = (policy.grad == infinite) & (slope == infinite);
    return {.value = policy.value + select(far, rate, kl * expm1_above_tangent(d)),
            .grad = select(both, copysign(slope, log_prob - old - d), policy.grad - slope),
            .hess = policy.hess + rate};
  }
};

/// The Huber loss of the temporal difference.
struct TDHuber : Huber {
  static constexpr auto name = "td_huber";
};

/// One sample of the return against one quantile. `above` is what a sample above the prediction weighs (tau), `below` one below it. The
/// Huber loss over kappa is s (u - kappa s / 2), s being u / kappa clipped to ±1: |u| where kappa is 0, which is a constant of the loop.
struct QuantileHuber {
  static constexpr auto name = "quantile_huber";
  double kappa;

  bool linear() const { return kappa == 0.0; }
  /// Whether kappa or its inverse has left the range of float32.
  bool wide() const { return !linear() && (kappa < 0x1p-100 || kappa > 0x1p100); }

  template <bool linear, class V>
  Terms<V> terms(V pred, V sample, V above, V below) const {
    const V u = sample - pred, weight = select(u < 0.0, below, above);
    if constexpr (linear) {
      const V slope = weight * sign(u);
      return {.value = slope * u, .grad = -slope, .hess = 0.0 * slope};
    } else {
      const V inverse = std::min(1.0 / kappa, std::numeric_limits<double>::max());
      const V s = clamp(u * inverse, -1.0, 1.0), slope = weight * s;
      return {.value = slope * fma(s, V(-0.5 * kappa), u), .grad = -slope, .hess = select(abs(u) <= kappa, weight * inverse, 0.0 * slope)};
    }
  }
};

}  // namespace pyloss
