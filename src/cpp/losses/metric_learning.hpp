// Losses of embeddings against each other, one anchor at a time: operator() returns the anchor's loss and leaves its derivative by each
// distance or similarity. The engine (kernels/embedding.cpp) computes these and carries the derivatives on to the embeddings.
#pragma once

#include <array>
#include <utility>

#include "../kernels/anchor.hpp"

namespace pyloss {

/// In what the pairs of a loss are measured. `normalised`: rows are divided by their length first.
struct Measure {
  Form form;
  bool normalised = false;
  bool symmetric = false;  // the derivative by (i, j) is that by (j, i)
};
inline constexpr Measure by_cosine{Form::inner, true};

// What is summed over; written as functions so that a formula reads in one line.
inline constexpr auto positive = [](const auto& pairs) PYLOSS_INLINE_LAMBDA { return pairs.positive; };
inline constexpr auto negative = [](const auto& pairs) PYLOSS_INLINE_LAMBDA { return pairs.negative; };
inline constexpr auto either = [](const auto& pairs) PYLOSS_INLINE_LAMBDA { return pairs.either(); };

/// d²/2 of a positive, max(0, margin - d)²/2 of a negative; each pair counts half for either end.
struct Contrastive {
  static constexpr auto name = "contrastive";
  static constexpr Measure measure{Form::euclidean, false, true};
  double margin;

  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    using V = simd::Pack<T>;
    const auto slope = [this](const Pairs<T>& pairs)
                           PYLOSS_INLINE_LAMBDA { return 0.5 * select(pairs.positive, pairs.value, min(pairs.value - margin, V(0.0))); };
    const double value = anchor.sum([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      const V s = slope(pairs);
      return s * s;
    });
    anchor.derive(slope);
    return {value, 0.5 * (anchor.positives + anchor.negatives)};
  }
};

/// max(0, d_ap - d_an + margin), or softplus(d_ap - d_an), over all triplets of the anchor.
struct Triplet {
  static constexpr auto name = "triplet";
  double margin, soft, active;  // flags are 0 or 1

  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    if (anchor.positives == 0 || anchor.negatives == 0) return anchor.nothing();
    return soft != 0.0 ? softly(anchor) : hinged(anchor);
  }

 private:
  /// Up to this many positives it is faster to look at all negatives once for each.
  static constexpr std::size_t few = 64;

  template <class T>
  AnchorTerm hinged(Anchor<T>& anchor) const {
    const auto positives = anchor.sorted_positives();
    const std::size_t size = positives.size();
    auto &counts = anchor.scratch().counts, &sums = anchor.scratch().sums, &thresholds = anchor.scratch().thresholds;
    counts.assign(size + 1, 0.0);
    sums.assign(size + 1, 0.0);
    thresholds.resize(size);
    for (std::size_t p = 0; p < size; ++p) thresholds[p] = static_cast<double>(positives[p].value) + margin;
    if (size <= few) {
      count_each(anchor);
    } else {
      count_between(anchor);
    }
    double total = 0.0, all = 0.0;
    for (std::size_t p = 0; p < size; ++p) {
      all += counts[p];
      total += counts[p] * thresholds[p] - sums[p];
      anchor.derive_one(positives[p], counts[p]);
    }
    return {total, active != 0.0 ? all : anchor.positives * anchor.negatives};
  }

  /// Counts and adds up, for each threshold d_ap + margin, the negatives below it: those active with that positive.
  template <class T>
  void count_each(Anchor<T>& anchor) const {
    using V = simd::Pack<T>;
    AnchorScratch<T>& scratch = anchor.scratch();
    const std::size_t size = scratch.thresholds.size();
    for (std::size_t p = 0; p < size; ++p) {
      const V threshold = scratch.thresholds[p];
      const auto below = [&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return pairs.negative & !(pairs.value >= threshold); };
      simd::Sum<T> sum;
      std::size_t count = 0;
      anchor.for_each_pair([&](std::size_t, auto place, const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
        const auto counted = below(pairs);
        count += static_cast<std::size_t>(std::popcount(bits_of(counted)));
        sum.add(place, select(counted, pairs.value, 0.0));
      });
      scratch.counts[p] = static_cast<double>(count);
      scratch.sums[p] = sum.total();
    }
    anchor.derive([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      V actives = 0.0;
      for (std::size_t p = 0; p < size; ++p) actives += select(pairs.value >= V(scratch.thresholds[p]), 0.0, 1.0);
      return -actives;
    });
  }

  /// The same by the place of each negative among the sorted thresholds, and sums over places.
  template <class T>
  void count_between(Anchor<T>& anchor) const {
    auto &counts = anchor.scratch().counts, &sums = anchor.scratch().sums;
    const auto& thresholds = anchor.scratch().thresholds;
    const std::size_t size = thresholds.size();
    anchor.derive_negatives([&](std::size_t, T value) {
      const double d = static_cast<double>(value);
      std::size_t first = 0;  // threshold above d
      for (std::size_t left = size; left > 0;) {
        const std::size_t half = left / 2;
        const bool above = !(d >= thresholds[first + half]);
        first = above ? first : first + half + 1;
        left = above ? half : left - half - 1;
      }
      counts[first] += 1.0;
      sums[first] += d;
      return static_cast<T>(-static_cast<double>(size - first));
    });
    for (std::size_t p = 1; p < size; ++p) {
      counts[p] += counts[p - 1];
      sums[p] += sums[p - 1];
    }
  }

  template <class T>
  AnchorTerm softly(Anchor<T>& anchor) const {
    using V = simd::Pack<T>;
    const auto positives = anchor.sorted_positives();
    std::vector<T>& pushes = anchor.scratch().slopes;
    std::vector<double>& pulls = anchor.scratch().pulls;
    pushes.assign(anchor.size(), T{0});
    pulls.clear();
    double value = 0.0;
    for (const Other<T>& p : positives) {
      if (anchor.scratch().cancelled()) break;
      const V d = V::all(p.value);
      simd::Sum<T> values, pull;
      anchor.for_each_pair([&](std::size_t j, auto place, const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
        values.add(place, select(pairs.negative, simd::softplus(d - pairs.value), 0.0));
        const V push = select(pairs.negative, simd::sigmoid(d - pairs.value), 0.0);
        pull.add(place, push);
        (V::load(&pushes[j]) + push).store(&pushes[j]);
      });
      value += values.total();
      pulls.push_back(pull.total());
    }
    anchor.derive_at([&](std::size_t j, const Pairs<T>&) PYLOSS_INLINE_LAMBDA { return -V::load(&pushes[j]); });
    for (std::size_t p = 0; p < pulls.size(); ++p) anchor.derive_one(positives[p], pulls[p]);
    return {value, anchor.positives * anchor.negatives};
  }
};

/// For each positive pair max(0, d_ap + log(sum of exp(margin - d) over the negatives of both))²/2.
struct LiftedStructure {
  static constexpr auto name = "lifted_structure";
  static constexpr Measure measure{Form::euclidean, true};
  double margin;

  /// log of the sum over the negatives of a row.
  template <class T>
  double statistic(Anchor<T>& anchor) const {
    return of_negatives(anchor).value();
  }
  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    using V = simd::Pack<T>;
    // As (p, a) is a pair too, which has the same negatives, all that a negative of this anchor does is twice what (a, p) tells.
    const LogSum own = of_negatives(anchor);
    const auto slope = [&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      const V top = max(pairs.statistic, V(own.value()));
      const V both = top + simd::log1p_unit(simd::exp_nonpositive(min(pairs.statistic, V(own.value())) - top));
      return max(pairs.value + select(top > -simd::infinity<double>, both, top), 0.0);
    };
    const auto of_positives = [&](auto&& of) {
      return anchor.sum([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return select(pairs.positive, of(pairs), 0.0); });
    };
    const double value = of_positives([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      const V s = slope(pairs);
      return 0.5 * s * s;
    });
    const double pull = own.empty() ? 0.0 : of_positives([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      // exp(own) / (exp(own) + exp(theirs))
      return 2.0 * slope(pairs) * simd::sigmoid(V(own.value()) - pairs.statistic);
    });
    anchor.derive([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      return select(pairs.positive, slope(pairs), own.empty() ? V(0.0) : V(-pull) * own.share(margin - pairs.value));
    });
    return {value, anchor.positives};
  }

 private:
  template <class T>
  LogSum of_negatives(Anchor<T>& anchor) const {
    return anchor.log_sum_exp(negative, [this](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return margin - pairs.value; });
  }
};

/// softplus of the log-sum-exps of gamma a_n (s - m) and -gamma a_p (s - (1 - m)), whose weights a are constants for the gradient.
struct Circle {
  static constexpr auto name = "circle";
  static constexpr Measure measure = by_cosine;
  double m, gamma;

  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    using V = simd::Pack<T>;
    if (anchor.positives == 0 || anchor.negatives == 0) return anchor.nothing();
    const auto pull = [this](V s) PYLOSS_INLINE_LAMBDA { return -gamma * max(1.0 + m - s, 0.0); };
    const auto push = [this](V s) PYLOSS_INLINE_LAMBDA { return gamma * max(s + m, 0.0); };
    const LogSum near = anchor.log_sum_exp(
        positive, [&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return pull(pairs.value) * (pairs.value - (1.0 - m)); });
    const LogSum far =
        anchor.log_sum_exp(negative, [&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return push(pairs.value) * (pairs.value - m); });
    const double both = near.value() + far.value(), weight = sigmoid(both);
    anchor.derive([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      const V s = pairs.value, a = select(pairs.positive, pull(s), push(s));
      const V exponent = a * (s - select(pairs.positive, 1.0 - m, m));
      return weight * a * select(pairs.positive, near.share(exponent), far.share(exponent));
    });
    return {softplus(both), 1.0};
  }
};

/// log(1 + sum of exp(-alpha (s - base)) over the positives) / alpha, and with beta and the other sign over the negatives.
struct MultiSimilarity {
  static constexpr auto name = "multi_similarity";
  static constexpr Measure measure = by_cosine;
  double alpha, beta, base;

  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    using V = simd::Pack<T>;
    const double near =
        anchor.log_sum_exp(positive, [this](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return -alpha * (pairs.value - base); }).value();
    const double far =
        anchor.log_sum_exp(negative, [this](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return beta * (pairs.value - base); }).value();
    const double near_total = softplus(near), far_total = softplus(far);
    anchor.derive([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      const V s = pairs.value - base;
      const V share = simd::exp(select(pairs.positive, -alpha * s - near_total, beta * s - far_total));
      return select(pairs.positive, -share, share);
    });
    return {near_total / alpha + far_total / beta, 1.0};
  }
};

/// -log of the positives' share of the softmax of -d²/temperature.
template <bool unit_length>
struct Neighbourhood {
  static constexpr Measure measure{Form::sqeuclidean, unit_length};
  double temperature;

  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    using V = simd::Pack<T>;
    if (anchor.positives == 0) return anchor.nothing();
    const auto exponent = [this](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return pairs.value * (-1.0 / temperature); };
    const LogSum all = anchor.log_sum_exp(either, exponent), near = anchor.log_sum_exp(positive, exponent);
    anchor.derive([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      const V e = exponent(pairs);
      return (-1.0 / temperature) * (all.share(e) - select(pairs.positive, near.share(e), 0.0));
    });
    return {(all.top - near.top) + (all.rest - near.rest), 1.0};
  }
};
struct NCA : Neighbourhood<false> {
  static constexpr auto name = "nca";
};
struct ProxyNCA : Neighbourhood<true> {
  static constexpr auto name = "proxy_nca";
};

/// Half the squared distances to the k nearest positives, and half of max(0, margin + d² - d'²) for each of them and each negative at d'.
struct LMNN {
  static constexpr auto name = "lmnn";
  static constexpr Measure measure{Form::sqeuclidean};
  double k, margin;

  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    using V = simd::Pack<T>;
    auto targets = anchor.sorted_positives();
    targets = targets.first(std::min(targets.size(), static_cast<std::size_t>(k)));
    double value = 0.0;
    auto& counts = anchor.scratch().counts;
    counts.clear();
    for (const Other<T>& target : targets) {
      const V threshold = V::all(static_cast<T>(static_cast<double>(target.value) + margin));
      value += static_cast<double>(target.value) + anchor.sum([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
        return select(pairs.negative, max(threshold - pairs.value, 0.0), 0.0);
      });
      counts.push_back(anchor.sum([&](const Pairs<T>& pairs)
                                      PYLOSS_INLINE_LAMBDA { return select(pairs.negative & (threshold > pairs.value), 1.0, 0.0); }));
    }
    anchor.derive([&](const Pairs<T>& pairs) {
      V active = 0.0;
      for (const Other<T>& target : targets) {
        active += select(V::all(static_cast<T>(static_cast<double>(target.value) + margin)) > pairs.value, 1.0, 0.0);
      }
      return select(pairs.negative, -0.5 * active, 0.0);
    });
    for (std::size_t t = 0; t < targets.size(); ++t) anchor.derive_one(targets[t], 0.5 + 0.5 * counts[t]);
    return {0.5 * value, 1.0};
  }
};

/// For each positive, -log of its share of exp(s / temperature) among itself and all negatives.
struct NTXent {
  static constexpr auto name = "nt_xent";
  static constexpr Measure measure = by_cosine;
  double temperature;

  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    using V = simd::Pack<T>;
    const auto logit = [this](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return pairs.value * (1.0 / temperature); };
    const LogSum far = anchor.log_sum_exp(negative, logit);
    if (far.empty() || anchor.positives == 0) return anchor.nothing(anchor.positives);
    const auto below = [&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return (V(far.top) - logit(pairs)) + V(far.rest); };
    const double value =
        anchor.sum([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return select(pairs.positive, simd::softplus(below(pairs)), 0.0); });
    const double pull =
        anchor.sum([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return select(pairs.positive, simd::sigmoid(below(pairs)), 0.0); });
    anchor.derive([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      return (1.0 / temperature) * select(pairs.positive, -simd::sigmoid(below(pairs)), pull * far.share(logit(pairs)));
    });
    return {value, anchor.positives};
  }
};

/// Mean over the positives of -log of their share of exp(s / temperature) among all others.
struct SupCon {
  static constexpr auto name = "sup_con";
  static constexpr Measure measure = by_cosine;
  double temperature;

  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    if (anchor.positives == 0) return anchor.nothing();
    const auto logit = [this](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return pairs.value * (1.0 / temperature); };
    const LogSum all = anchor.log_sum_exp(either, logit);
    const double below =
        anchor.sum([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return select(pairs.positive, all.top - logit(pairs), 0.0); });
    anchor.derive([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      return (1.0 / temperature) * (all.share(logit(pairs)) - select(pairs.positive, 1.0 / anchor.positives, 0.0));
    });
    return {below / anchor.positives + all.rest, 1.0};
  }
};

/// Cross-entropy of a row of similarities over the temperature, the only positive being the class; with `symmetric` the mean of that and
/// of the column's.
struct InfoNCE {
  static constexpr auto name = "info_nce";
  static constexpr Measure measure = by_cosine;
  double temperature, symmetric;

  template <class T>
  double statistic(Anchor<T>& anchor) const {
    return total(anchor).value();
  }
  bool has_statistic() const { return symmetric != 0.0; }

  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    using V = simd::Pack<T>;
    const LogSum row = total(anchor);
    const double half = symmetric != 0.0 ? 0.5 : 1.0;
    double value = anchor.sum([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      return select(pairs.positive, row.top - logit(pairs), 0.0);
    }) + row.rest;
    if (symmetric != 0.0) {
      value += anchor.sum([&](const Pairs<T>& pairs)
                              PYLOSS_INLINE_LAMBDA { return select(pairs.positive, pairs.statistic - logit(pairs), 0.0); });
    }
    anchor.derive([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      V share = row.share(logit(pairs));
      if (symmetric != 0.0) share += simd::exp(logit(pairs) - pairs.statistic);
      return (half / temperature) * (share - select(pairs.positive, 1.0 / half, 0.0));
    });
    return {half * value, 1.0};
  }

 private:
  template <class T>
  PYLOSS_INLINE simd::Pack<T> logit(const Pairs<T>& pairs) const {
    return pairs.value * (1.0 / temperature);
  }
  template <class T>
  LogSum total(Anchor<T>& anchor) const {
    return anchor.log_sum_exp(either, [this](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return logit(pairs); });
  }
};

/// softplus(-z (s / temperature + bias)) of every pair, z = 1 for the positive, -1 for the others.
struct SigLIP {
  static constexpr auto name = "sig_lip";
  static constexpr Measure measure = by_cosine;
  double temperature, bias;

  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    const auto wrong = [this](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      const auto logit = pairs.value * (1.0 / temperature) + bias;
      return select(pairs.positive, -logit, logit);
    };
    const double value = anchor.sum([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return simd::softplus(wrong(pairs)); });
    anchor.derive([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      return simd::sigmoid(wrong(pairs)) * select(pairs.positive, -1.0 / temperature, 1.0 / temperature);
    });
    return {value, 1.0};
  }
};

/// Of a proxy: log(1 + sum of exp(-alpha (s - margin)) over its class), shared among the proxies that have any, and log(1 + sum of
/// exp(alpha (s + margin)) over all others), shared among all proxies.
struct ProxyAnchor {
  static constexpr auto name = "proxy_anchor";
  static constexpr Measure measure = by_cosine;
  double margin, alpha, with_positives, proxies;

  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    using V = simd::Pack<T>;
    const double near = softplus(
        anchor.log_sum_exp(positive, [this](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return -alpha * (pairs.value - margin); })
            .value());
    const double far =
        softplus(anchor.log_sum_exp(negative, [this](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return alpha * (pairs.value + margin); })
                     .value());
    const double near_part = 1.0 / std::max(with_positives, 1.0), far_part = 1.0 / proxies;
    anchor.derive([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      const V s = pairs.value;
      const V share = simd::exp(select(pairs.positive, -alpha * (s - margin) - near, alpha * (s + margin) - far));
      return share * select(pairs.positive, -alpha * near_part, alpha * far_part);
    });
    return {near * near_part + far * far_part, 0.0};
  }
};

/// The loss of one tuple by the distances of some of its pairs, and its derivative by each.
template <std::size_t pairs>
struct TupleTerm {
  double value, count;
  std::array<double, pairs> slopes;
};
using PlacePair = std::pair<std::size_t, std::size_t>;

/// Of a given pair: d²/2 if it is marked as similar, else max(0, margin - d)²/2.
struct GivenPairs {
  static constexpr auto name = "contrastive";
  static constexpr std::size_t places = 2;
  static constexpr std::array<PlacePair, 1> pairs{{{0, 1}}};
  static constexpr Measure measure{Form::euclidean};
  double margin;

  std::size_t edges() const { return 1; }
  TupleTerm<1> operator()(const std::array<double, 1>& d, double similar) const {
    const double slope = similar != 0.0 ? d[0] : std::min(d[0] - margin, 0.0);
    return {0.5 * slope * slope, 1.0, {slope}};
  }
};

/// Of a given triplet: max(0, d_ap - d_an + margin), or softplus(d_ap - d_an); with `swap` the lesser of d_an and d_pn stands for d_an.
struct GivenTriplets {
  static constexpr auto name = "triplet";
  static constexpr std::size_t places = 3;
  static constexpr std::array<PlacePair, 3> pairs{{{0, 1}, {0, 2}, {1, 2}}};
  double margin, soft, active, swap;

  std::size_t edges() const { return swap != 0.0 ? 3 : 2; }
  TupleTerm<3> operator()(const std::array<double, 3>& d, double) const {
    const std::size_t farther = swap != 0.0 && d[2] < d[1] ? 2 : 1;
    const double excess = d[0] - d[farther];
    const double value = soft != 0.0 ? softplus(excess) : excess + margin > 0.0 || excess != excess ? excess + margin : 0.0;
    const double slope = soft != 0.0 ? sigmoid(excess) : value != 0.0 ? 1.0 : 0.0;
    TupleTerm<3> term{value, active != 0.0 && value == 0.0 ? 0.0 : 1.0, {slope, 0.0, 0.0}};
    term.slopes[farther] = -slope;
    return term;
  }
};

/// max(0, d²_ap - d²_an + near) + max(0, d²_ap - d²_no + far), n and o being the two negatives.
struct Quadruplet {
  static constexpr auto name = "quadruplet";
  static constexpr std::size_t places = 4;
  static constexpr std::array<PlacePair, 3> pairs{{{0, 1}, {0, 2}, {2, 3}}};
  static constexpr Measure measure{Form::sqeuclidean};
  double near, far;

  std::size_t edges() const { return 3; }
  TupleTerm<3> operator()(const std::array<double, 3>& d, double) const {
    const double first = d[0] - d[1] + near, second = d[0] - d[2] + far;
    const double a = first <= 0.0 ? 0.0 : 1.0, b = second <= 0.0 ? 0.0 : 1.0;
    return {(a != 0.0 ? first : 0.0) + (b != 0.0 ? second : 0.0), 1.0, {a + b, -a, -b}};
  }
};

/// Half the squared distance of a row and its centre.
struct Center {
  static constexpr auto name = "center";
  static constexpr std::size_t places = 2;
  static constexpr std::array<PlacePair, 1> pairs{{{0, 1}}};
  static constexpr Measure measure{Form::sqeuclidean};

  std::size_t edges() const { return 1; }
  TupleTerm<1> operator()(const std::array<double, 1>& d, double) const { return {0.5 * d[0], 1.0, {0.5}}; }
};

/// 1 - cosine of a pair that is marked 1, else max(0, cosine - margin).
struct CosineEmbedding {
  static constexpr auto name = "cosine_embedding";
  static constexpr std::size_t places = 2;
  static constexpr std::array<PlacePair, 1> pairs{{{0, 1}}};
  static constexpr Measure measure{Form::half_square, true};
  double margin;

  std::size_t edges() const { return 1; }
  TupleTerm<1> operator()(const std::array<double, 1>& d, double target) const {
    if (target > 0.0) return {d[0], 1.0, {1.0}};
    const double excess = 1.0 - d[0] - margin;
    return {excess <= 0.0 ? 0.0 : excess, 1.0, {excess <= 0.0 ? 0.0 : -1.0}};
  }
};

/// Which products of the centred columns of x and y a loss is made of.
enum class Products { of_both, of_each, difference };

/// With C = the correlations of the columns of x with those of y: sum (1 - C_ii)² + lambda sum of C_ij², i != j.
struct BarlowTwins {
  static constexpr auto name = "barlow_twins";
  static constexpr Products products = Products::of_both;
  double lambda;

  double invariance() const { return 0.0; }
  /// The loss of element (i, j) of the matrix c of size x size, and its derivative by that element.
  template <class Use>
  double operator()(double c, bool diagonal, std::size_t, Use&& derivative) const {
    const double lost = diagonal ? c - 1.0 : c, weight = diagonal ? 1.0 : lambda;
    derivative(2.0 * weight * lost);
    return weight * lost * lost;
  }
};

/// The mean of (x - y)² and, for the covariances of x and of y: mean max(0, 1 - sqrt(C_ii + eps))/2 and mean over rows of the sum of C_ij².
struct VICReg {
  static constexpr auto name = "vic_reg";
  static constexpr Products products = Products::of_each;
  double of_difference, of_variance, of_covariance, eps;

  double invariance() const { return of_difference; }
  template <class Use>
  double operator()(double c, bool diagonal, std::size_t size, Use&& derivative) const {
    const double share = 1.0 / static_cast<double>(size);
    if (!diagonal) {
      derivative(2.0 * of_covariance * share * c);
      return of_covariance * share * c * c;
    }
    const double deviation = std::sqrt(c + eps), missing = 1.0 - deviation;
    derivative(missing <= 0.0 ? 0.0 : -0.25 * of_variance * share / deviation);
    return missing <= 0.0 ? 0.0 : 0.5 * of_variance * share * missing;
  }
};

/// The squared differences of the covariances of x and y over 4 size².
struct CORAL {
  static constexpr auto name = "coral";
  static constexpr Products products = Products::difference;

  double invariance() const { return 0.0; }
  template <class Use>
  double operator()(double c, bool, std::size_t size, Use&& derivative) const {
    const double share = 0.25 / (static_cast<double>(size) * static_cast<double>(size));
    derivative(2.0 * share * c);
    return share * c * c;
  }
};

/// exp(-d² / (2 bandwidth²)): what MMD adds up, one bandwidth at a time.
struct Gaussian {
  static constexpr auto name = "rbf";
  static constexpr Measure measure{Form::sqeuclidean, false, true};
  double bandwidth;

  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    const double rate = -0.5 / (bandwidth * bandwidth);
    const auto kernel = [&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return simd::exp(rate * pairs.value); };
    const double value = anchor.sum(kernel);
    anchor.derive([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return rate * kernel(pairs); });
    return {value, 0.0};
  }
};

/// exp(-d / bandwidth)
struct Laplacian {
  static constexpr auto name = "laplacian";
  static constexpr Measure measure{Form::euclidean, false, true};
  double bandwidth;

  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    const double rate = -1.0 / bandwidth;
    const auto kernel = [&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return simd::exp(rate * pairs.value); };
    const double value = anchor.sum(kernel);
    anchor.derive([&](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return rate * kernel(pairs); });
    return {value, 0.0};
  }
};

/// d itself, which the energy distance adds up.
struct Distance {
  static constexpr auto name = "distance";
  static constexpr Measure measure{Form::euclidean, false, true};

  template <class T>
  AnchorTerm operator()(Anchor<T>& anchor) const {
    const double value = anchor.sum([](const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA { return pairs.value; });
    anchor.derive([](const Pairs<T>&) PYLOSS_INLINE_LAMBDA { return simd::Pack<T>(1.0); });
    return {value, 0.0};
  }
};

}  // namespace pyloss
