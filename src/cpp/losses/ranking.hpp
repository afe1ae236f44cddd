// Ranking: losses of the scores of one query's items against their relevance. The engine (kernels/ranking.hpp) puts the items in order and
// adds up; here are the terms.
#pragma once

#include <cmath>

#include "terms.hpp"

namespace pyloss {

/// How a loss looks at the items of a query.
enum class Arranged {
  by_relevance,  // as all pairs of different relevance, the more relevant first
  by_score,      // as all pairs, the higher score first, with their gains and discounts
  by_slack,      // as all pairs that do not keep a margin, through their number and the sums of their slacks
  as_choices,    // as one choice of an item by the softmax of the scores
  as_order,      // as choices one after the other, of the items that are left
};

/// An item of a pair. Only losses arranged by score have the last two.
template <class V>
struct Ranked {
  V score, gain, discount;
};

/// The lead of one score over another; equal infinities are a tie.
template <class V>
V lead(V first, V second) {
  return select(first == second, 0.0, first - second);
}

/// log(1 + e^-d) of the lead d. With e = exp(-|d|) in [0, 1] nothing overflows.
template <class V>
Terms<V> logistic_of_lead(V first, V second) {
  const V d = lead(first, second);
  const V e = exp_nonpositive(-abs(d)), s = 1.0 / (1.0 + e);
  return {.value = max(-d, 0.0) + log1p_unit(e), .grad = -select(d < 0.0, s, e * s), .hess = e * s * s};
}

/// The derivative is by the first item's score, and by the second's turned.
struct RankLogistic {
  static constexpr auto name = "rank_logistic";
  static constexpr auto arranged = Arranged::by_relevance;

  template <class V>
  Terms<V> operator()(const Ranked<V>& first, const Ranked<V>& second) const {
    return logistic_of_lead(first.score, second.score);
  }
};

/// By how much the normalised discounted cumulative gain would change if the two changed places, times log(1 + e^-d) of the lead that the
/// more relevant has. A pair counts if the better placed of the two is among the first k.
struct LambdaRank {
  static constexpr auto name = "lambda_rank";
  static constexpr auto arranged = Arranged::by_score;
  double k;

  /// 2^relevance - 1, in units of 2^top, so that no relevance up to `top` overflows.
  static double gain(double relevance, double top) {
    if (std::abs(relevance) < 1.0) return std::expm1(relevance * 0x1.62e42fefa39efp-1) * std::exp2(-top);
    return std::exp2(relevance - top) - std::exp2(-top);
  }
  static double discount(double place) { return 1.0 / std::log2(place + 1.0); }

  template <class V>
  Terms<V> operator()(const Ranked<V>& first, const Ranked<V>& second) const {
    const V change = abs((first.gain - second.gain) * (first.discount - second.discount));
    const auto right = first.gain >= second.gain;
    const auto terms = logistic_of_lead(select(right, first.score, second.score), select(right, second.score, first.score));
    return {
        .value = times_or_zero(change, terms.value), .grad = change * select(right, terms.grad, -terms.grad), .hess = change * terms.hess};
  }
};

/// Of some pairs, those whose slack margin - d is not negative: how many they are, the sum of the slacks and that of their squares. At the
/// kink a pair counts, as in torch.
template <class V>
struct Slacks {
  V count, sum, squares;
};

/// What a loss of slacks is for a pair by itself.
template <class Loss, class V>
Terms<V> of_pair(const Loss& loss, const Ranked<V>& first, const Ranked<V>& second) {
  const V slack = loss.margin - lead(first.score, second.score), excess = max(slack, 0.0);
  const Slacks<V> of{select(slack >= 0.0, 1.0, 0.0), excess, excess * excess};
  return {.value = loss.value(of), .grad = -loss.slope(of), .hess = loss.bend(of)};
}

/// The slope is by how much the value grows with the slacks.
struct RankHinge {
  static constexpr auto name = "rank_hinge";
  static constexpr auto arranged = Arranged::by_slack;
  double margin;

  template <class V>
  static V value(const Slacks<V>& of) {
    return of.sum;
  }
  template <class V>
  static V slope(const Slacks<V>& of) {
    return of.count;
  }
  template <class V>
  static V bend(const Slacks<V>&) {
    return 0.0;
  }
};

struct RankSquaredHinge {
  static constexpr auto name = "rank_squared_hinge";
  static constexpr auto arranged = Arranged::by_slack;
  double margin;

  template <class V>
  static V value(const Slacks<V>& of) {
    return of.squares;
  }
  template <class V>
  static V slope(const Slacks<V>& of) {
    return 2.0 * of.sum;
  }
  template <class V>
  static V bend(const Slacks<V>& of) {
    return 2.0 * of.count;
  }
};

/// The cross-entropy of the scores' softmax p and the relevances' softmax q; `surprise` is -log p.
struct ListNet {
  static constexpr auto name = "list_net";
  static constexpr auto arranged = Arranged::as_choices;

  /// The complements of p and q are given because 1 - p may have lost what matters.
  template <class V>
  Terms<V> operator()(V surprise, V p, V not_p, V q, V not_q) const {
    return {.value = times_or_zero(q, surprise), .grad = select(p > 0.5, not_q - not_p, p - q), .hess = p * not_p};
  }
};

/// -log of the probability that items chosen one after the other, by the softmax of the scores that are left, come in the order of their
/// relevance.
struct ListMLE {
  static constexpr auto name = "list_mle";
  static constexpr auto arranged = Arranged::as_order;

  /// A choice where the largest score left is `below` above the item's, and `others` the sum of exp(score - largest) but for a largest.
  template <class V>
  V operator()(V below, V others) const {
    return below + log1p(others);
  }
};

}  // namespace pyloss
