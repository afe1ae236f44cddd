// Segmentation: losses of how far a predicted mask and the true one overlap.
#pragma once

#include <cmath>

#include "terms.hpp"

namespace pyloss {

/// Sums over a mask of predictions p and targets t. `excess` is what p claims beside t, Σ p (1 - t), and `missing` what it leaves out,
/// Σ (1 - p) t; of squared losses Σ p (p - t) and Σ t (t - p). None of them cancels when p comes near t.
struct Overlap {
  double hit, excess, missing;  // hit is Σ p t
};

/// A loss of such sums, and its derivatives by them.
struct OverlapTerms {
  double value = 0.0, by_hit = 0.0, by_excess = 0.0, by_missing = 0.0;
};

/// 1 - (hit + smooth) / (hit + alpha excess + beta missing + smooth). 0 / 0, of two empty masks without smoothing, is a perfect match.
struct Tversky {
  static constexpr auto name = "tversky";
  double alpha, beta, smooth;

  OverlapTerms operator()(const Overlap& s) const {
    const double miss = alpha * s.excess + beta * s.missing, whole = s.hit + miss + smooth;
    if (whole == 0.0) return {};
    const double share = miss / whole, kept = (s.hit + smooth) / whole / whole;
    return {.value = share, .by_hit = -share / whole, .by_excess = alpha * kept, .by_missing = beta * kept};
  }
};

/// 1 - (2 hit + smooth) / (Σ p + Σ t + smooth), where Σ p + Σ t = 2 hit + excess + missing: Tversky of halves.
struct Dice {
  static constexpr auto name = "dice";
  double smooth;

  OverlapTerms operator()(const Overlap& s) const { return Tversky{0.5, 0.5, 0.5 * smooth}(s); }
};

/// 1 - (hit + smooth) / (Σ p + Σ t - hit + smooth): Tversky of wholes.
struct Jaccard {
  static constexpr auto name = "jaccard";
  double smooth;

  OverlapTerms operator()(const Overlap& s) const { return Tversky{1.0, 1.0, smooth}(s); }
};

/// Tversky's loss to the power gamma. For gamma < 1 the slope at 0 is infinite; a perfect match has gradient 0.
struct FocalTversky {
  static constexpr auto name = "focal_tversky";
  double gamma, alpha, beta, smooth;

  OverlapTerms operator()(const Overlap& s) const {
    const OverlapTerms at = Tversky{alpha, beta, smooth}(s);
    if (at.value == 0.0) return {};
    const double value = std::pow(at.value, gamma), slope = gamma * value / at.value;
    return {.value = value, .by_hit = slope * at.by_hit, .by_excess = slope * at.by_excess, .by_missing = slope * at.by_missing};
  }
};

/// A prediction as a probability, what it leaves to 1, and its derivative by the prediction.
template <class V>
struct Probability {
  V p, rest, slope;
};

template <class V>
PYLOSS_INLINE Probability<V> probability(V p) {
  return {p, 1.0 - p, 1.0};
}

/// The sigmoid of a logit. With e = exp(-|z|) neither p nor 1 - p cancels.
template <class V>
PYLOSS_INLINE Probability<V> probability_of_logit(V z) {
  const V e = exp_nonpositive(-abs(z)), s = 1.0 / (1.0 + e), small = e * s;
  const auto below = z < 0.0;
  return {select(below, small, s), select(below, s, small), small * s};
}

/// The error of an element of a mask (target is 0 or 1), of which the Lovász extension of the Jaccard loss is taken; its derivative by the
/// prediction is 1 - 2 target. Errors below 0 do not count.
struct LovaszHinge {
  static constexpr auto name = "lovasz_hinge";

  template <class V>
  PYLOSS_INLINE V operator()(V z, V target) const {
    return 1.0 + (1.0 - 2.0 * target) * z;
  }
};

/// Of a probability: its distance from the target.
struct LovaszSoftmax {
  static constexpr auto name = "lovasz_softmax";

  template <class V>
  PYLOSS_INLINE V operator()(V p, V target) const {
    return target + (1.0 - 2.0 * target) * p;
  }
};

/// By how much the Jaccard loss of a mask with `positives` elements grows when one more element is wrong: a positive, or not, after as many
/// positives and others that are wrong already.
inline double jaccard_step(double positives, double wrong_positives, double wrong_others, bool of_positive) {
  const double whole = positives + wrong_others;
  if (of_positive) return 1.0 / whole;
  return positives == 0.0 ? (wrong_others == 0.0 ? 1.0 : 0.0) : (positives - wrong_positives) / (whole * (whole + 1.0));
}

}  // namespace pyloss
