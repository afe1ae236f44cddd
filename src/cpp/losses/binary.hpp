// Binary classification: losses of a raw score against a target.
#pragma once

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

}  // namespace pyloss
