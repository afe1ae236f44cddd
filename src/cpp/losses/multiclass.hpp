// Losses of a row of class scores. The engine (kernels/rowwise.hpp) reads the scores; in what is said of a whole row, a lane is a row.
#pragma once

#include <array>
#include <cmath>
#include <utility>

#include "terms.hpp"

namespace pyloss {

// Losses of the row's softmax p.

/// What one pass over a row of scores x with target weights a (a probability or a one-hot row, smoothed and class-weighted) tells.
template <class V>
struct SoftmaxRow {
  V max;       // largest score
  V others;    // sum of exp(x - max) over all but one of the largest: small where one score dominates, so nothing is lost
  V mass;      // sum of a
  V distance;  // sum of a (max - x)
  V p, not_p;  // of a label: its probability, and 1 less that

  V total() const { return 1.0 + others; }
  /// log-sum-exp of x less max.
  V log_total() const { return log1p(others); }
  /// Logarithm of a label's probability.
  V log_p() const { return -(log_total() + select(mass == 0.0, 0.0, distance / mass)); }
};

/// The derivative by score j is pull p_j - push a_j, the second derivative pull p_j (1 - p_j) + quad p_j² + bend (p_j - [j is the label])².
template <class V>
struct RowTerms {
  V value, pull, quad;
  V push = 1.0, bend = 0.0;
};

/// -sum of a log p, plus z_loss times the squared log-sum-exp.
struct CrossEntropy {
  static constexpr auto name = "cross_entropy";
  double z_loss;

  template <class V>
  RowTerms<V> operator()(const SoftmaxRow<V>& row) const {
    const V log_total = row.log_total(), entropy = row.mass * log_total + row.distance;
    if (z_loss == 0.0) return {.value = entropy, .pull = row.mass, .quad = 0.0};
    const V z = row.max + log_total;
    return {.value = entropy + z_loss * z * z, .pull = row.mass + 2.0 * z_loss * z, .quad = 2.0 * z_loss};
  }
};

/// What is known of one class: its logarithm of the probability p, p itself, and 1 - p.
template <class V>
struct ClassProbability {
  V log_p, p, not_p;
};

/// f(log p), -f' and f''.
template <class V>
struct OfLogP {
  V f, fall, bend;
};

/// A loss f(log p) of the label.
template <class Loss, class V>
RowTerms<V> of_label(const Loss& loss, const SoftmaxRow<V>& row) {
  const OfLogP<V> at = loss.of(ClassProbability<V>{row.log_p(), row.p, row.not_p});
  const V value = select(row.others == row.others, times_or_zero(row.mass, at.f), row.others);  // NaN even if the class weighs nothing
  return {.value = value, .pull = row.mass * at.fall, .quad = 0.0, .push = at.fall, .bend = row.mass * at.bend};
}

/// alpha (1 - p)^gamma times -log p. The power is taken from the logarithm: at p = 1 it is then 0, or 1 for gamma = 0.
struct SoftmaxFocal {
  static constexpr auto name = "softmax_focal";
  double gamma, alpha;

  template <class V>
  RowTerms<V> operator()(const SoftmaxRow<V>& row) const {
    return of_label(*this, row);
  }
  template <class V>
  OfLogP<V> of(const ClassProbability<V>& at) const {
    const V q = at.not_p, u = at.log_p, pu = times_or_zero(at.p, u);
    if (gamma == 0.0) return {-alpha * u, alpha, 0.0};
    const V power = alpha * exp(gamma * log(q));
    const V ratio = select(q == 0.0, at.p, -pu / q);  // -p log p / (1 - p), 1 at p = 1
    const V bend = gamma * (power / q) * (at.p * ((gamma - 1.0) * ratio + 2.0) + pu);
    return {times_or_zero(power, -u), power * (1.0 + gamma * ratio), select(q == 0.0, 0.0, bend)};
  }
};

/// ce times -log p, plus error times 1 - p.
struct LogAndError {
  double ce, error;

  template <class V>
  OfLogP<V> of(const ClassProbability<V>& at) const {
    return {error * at.not_p + (ce == 0.0 ? V(0.0) : -ce * at.log_p), ce + error * at.p, -error * at.p};
  }
};

struct PolyCrossEntropy {
  static constexpr auto name = "poly_cross_entropy";
  double epsilon;

  template <class V>
  RowTerms<V> operator()(const SoftmaxRow<V>& row) const {
    return of_label(*this, row);
  }
  template <class V>
  OfLogP<V> of(const ClassProbability<V>& at) const {
    return LogAndError{1.0, epsilon}.of(at);
  }
};

/// The reversed cross-entropy takes log 10^-4 for the logarithm of a target below that, as its authors' program does.
struct SymmetricCrossEntropy {
  static constexpr auto name = "symmetric_cross_entropy";
  static constexpr double least = 1e-4, log_of_least = -9.210340371976182;
  double alpha, beta;

  template <class V>
  RowTerms<V> operator()(const SoftmaxRow<V>& row) const {
    return of_label(LogAndError{alpha, -beta * log_of_least}, row);
  }
};

/// (1 - p^q) / q.
struct GeneralizedCrossEntropy {
  static constexpr auto name = "generalized_cross_entropy";
  double q;

  template <class V>
  RowTerms<V> operator()(const SoftmaxRow<V>& row) const {
    return of_label(*this, row);
  }
  template <class V>
  OfLogP<V> of(const ClassProbability<V>& at) const {
    const V log_power = q * at.log_p, power = exp(log_power);
    return {-expm1(log_power) / q, power, -q * power};
  }
};

/// Score of a label as the softmax sees it, before the scale, with its derivatives by the score itself.
struct LabelScore {
  double value, first, second;
};

/// Cross-entropy of cosines, of which the label's is changed first.
struct OfCosines {
  template <class V>
  RowTerms<V> operator()(const SoftmaxRow<V>& row) const {
    return CrossEntropy{.z_loss = 0.0}(row);
  }
};

/// cos(theta + margin) where theta + margin <= pi; beyond, where that would rise again, cos theta - margin sin margin. Constant within 1e-7
/// of cos theta = 1, where the slope is infinite.
struct ArcFace : OfCosines {
  static constexpr auto name = "arc_face";

  class Label {
   public:
    explicit Label(const double* parameters) : cos_(std::cos(parameters[0])), sin_(std::sin(parameters[0])), shift_(parameters[0] * sin_) {}

    LabelScore operator()(double x) const {
      constexpr double largest = 1.0 - 1e-7;
      if (x < -cos_ || x <= -1.0) return {x - shift_, 1.0, 0.0};
      const double at = x > largest ? largest : x, sine = std::sqrt((1.0 - at) * (1.0 + at));
      const double value = at * cos_ - sine * sin_;
      if (x > largest) return {value, 0.0, 0.0};
      return {value, cos_ + sin_ * (at / sine), sin_ / (sine * sine * sine)};
    }

   private:
    double cos_, sin_, shift_;
  };

  double margin;
};

/// cos theta - margin.
struct CosFace : OfCosines {
  static constexpr auto name = "cos_face";

  class Label {
   public:
    explicit Label(const double* parameters) : margin_(parameters[0]) {}
    LabelScore operator()(double x) const { return {x - margin_, 1.0, 0.0}; }

   private:
    double margin_;
  };

  double margin;
};

/// (-1)^k cos(margin theta) - 2 k with k = floor(margin theta / pi), for an integer margin. The cosine is Chebyshev's polynomial of
/// cos theta, so that nothing is divided by a sine; beyond -1 and 1 it is constant.
struct SphereFace : OfCosines {
  static constexpr auto name = "sphere_face";

  class Label {
   public:
    explicit Label(const double* parameters) : margin_(parameters[0]) {}

    LabelScore operator()(double x) const {
      const double at = x > 1.0 ? 1.0 : x < -1.0 ? -1.0 : x;
      LabelScore before{1.0, 0.0, 0.0}, now{at, 1.0, 0.0};
      for (double n = 1.0; n < margin_; n += 1.0) {
        const LabelScore next{2.0 * at * now.value - before.value, 2.0 * (now.value + at * now.first) - before.first,
                              4.0 * now.first + 2.0 * at * now.second - before.second};
        before = now;
        now = next;
      }
      const double k = std::fmin(std::floor(margin_ * std::acos(at) / 3.141592653589793), margin_ - 1.0);
      const double sign = std::fmod(k, 2.0) == 0.0 ? 1.0 : -1.0, slope = at == x ? sign : 0.0;
      return {sign * now.value - 2.0 * k, slope * now.first, slope * now.second};
    }

   private:
    double margin_;
  };

  double margin;
};

/// The score as it is: all there is to it is the scale.
struct AdaCos : OfCosines {
  static constexpr auto name = "ada_cos";
};

// Losses that add up terms of a row's elements. What an element needs to know of its row is found first (`lead`, the largest or the sum of
// something over the row); then `add` gives what is to be added up, `finish` the row's value and factors, `derive` the derivatives. What
// `costly` returns goes to both `add` and `derive`.

/// A score x with its target weight a and the teacher's score; in a labelled row, a is 0 but for the label.
template <class V>
struct Element {
  V x, a, teacher;
  decltype(V{} == V{}) is_label;
};

/// What an element's row is: the label's score, the number of classes, and its leads.
template <class V, std::size_t leads>
struct RowFacts {
  V label_x, classes;
  std::array<V, leads> lead;
};

template <class V, std::size_t factors>
struct RowSum {
  V value;
  std::array<V, factors> factor;
};

/// Derivatives by a score.
template <class V>
struct ScoreTerms {
  V grad, hess;
};

enum class Lead { largest, sum };

/// What the target of a row may be.
enum class Targets { none, labels, probabilities, either };

/// What most of these losses are.
struct OfElements {
  static constexpr Lead lead_kind = Lead::largest;
  static constexpr std::size_t leads = 0, sums = 1, factors = 0;
  static constexpr std::size_t totals = 0,
                               from_totals = 0;  // sums that `total` adds up before, and the leads that `normalise` makes of them
  static constexpr std::size_t costs = 0;        // numbers that `costly` returns
  static constexpr bool label_alone = false;     // whether of a labelled row only the label's element has something to add
  static constexpr bool local = false;           // whether derivatives need no factors, but to be NaN where those are
  static constexpr Targets targets = Targets::either;
  static constexpr bool teacher = false;
};

template <class V>
using NoLead = RowFacts<V, 0>;

/// The value as it is; the factor is NaN if the value is, else 0: of losses whose derivatives do not depend on the scores.
template <class V>
RowSum<V, 1> linear(V value) {
  return {value, {select(value == value, 0.0, value)}};
}

struct NLL : OfElements {
  static constexpr auto name = "nll";
  static constexpr std::size_t factors = 1;
  static constexpr bool label_alone = true, local = true;

  template <class V>
  std::array<V, 1> add(const Element<V>& e, const NoLead<V>&) const {
    return {times_or_zero(e.a, -e.x)};
  }
  template <class V>
  RowSum<V, 1> finish(const std::array<V, 1>& sum, const NoLead<V>&) const {
    return linear(sum[0]);
  }
  template <class V>
  ScoreTerms<V> derive(const Element<V>& e, const NoLead<V>&, const std::array<V, 1>& factor) const {
    return {factor[0] - e.a, factor[0]};
  }
};

/// -sum of a log clip(x / sum of x, eps, 1 - eps). Where the clip is at work, its element has no gradient of its own.
struct CategoricalCrossEntropy : OfElements {
  static constexpr auto name = "categorical_cross_entropy";
  static constexpr Lead lead_kind = Lead::sum;
  static constexpr std::size_t leads = 1, sums = 2, factors = 2;
  static constexpr bool label_alone = true;
  double eps;

  template <class V>
  std::array<V, 1> lead(const Element<V>& e) const {
    return {e.x};
  }
  template <class V>
  std::array<V, 2> add(const Element<V>& e, const RowFacts<V, 1>& row) const {
    const V p = e.x / row.lead[0];
    return {times_or_zero(e.a, -log(clamp(p, eps, 1.0 - eps))), unclipped(p, e.a)};
  }
  template <class V>
  RowSum<V, 2> finish(const std::array<V, 2>& sum, const RowFacts<V, 1>& row) const {
    const V factor = sum[1] / row.lead[0];
    return {sum[0], {factor, factor / row.lead[0]}};
  }
  template <class V>
  ScoreTerms<V> derive(const Element<V>& e, const RowFacts<V, 1>& row, const std::array<V, 2>& factor) const {
    V own = 0.0, bend = 0.0;
    // Of a labelled row one element needs the divisions.
    if (bits_of(e.a != 0.0) != 0) {
      const V a = unclipped(e.x / row.lead[0], e.a);
      own = select(a == 0.0, 0.0, a / e.x), bend = select(a == 0.0, 0.0, own / e.x);
    }
    return {factor[0] - own, bend - factor[1]};
  }

 private:
  template <class V>
  V unclipped(V p, V a) const {
    return select((p < eps) | (p > 1.0 - eps), 0.0, a);
  }
};

/// sum of t (log t - x), 0 where t = 0; t is a, or exp a with log_target.
struct KLDiv : OfElements {
  static constexpr auto name = "kl_div";
  static constexpr Targets targets = Targets::probabilities;
  static constexpr std::size_t factors = 1;
  static constexpr bool local = true;
  double log_target;

  template <class V>
  std::array<V, 1> add(const Element<V>& e, const NoLead<V>&) const {
    return {times_or_zero(t(e), (log_target != 0.0 ? e.a : log(e.a)) - e.x)};
  }
  template <class V>
  RowSum<V, 1> finish(const std::array<V, 1>& sum, const NoLead<V>&) const {
    return linear(sum[0]);
  }
  template <class V>
  ScoreTerms<V> derive(const Element<V>& e, const NoLead<V>&, const std::array<V, 1>& factor) const {
    return {factor[0] - t(e), factor[0]};
  }

 private:
  template <class V>
  V t(const Element<V>& e) const {
    return log_target != 0.0 ? exp(e.a) : e.a;
  }
};

/// Half of sum of t log(t / m) + q log(q / m), q = exp x, m = (q + t) / 2. With d = (q - t) / (q + t), q is m (1 + d), t is m (1 - d).
struct JSDiv : OfElements {
  static constexpr auto name = "js_div";
  static constexpr Targets targets = Targets::probabilities;
  static constexpr std::size_t costs = 2;
  static constexpr bool local = true;

  /// q, and q log(q / m).
  template <class V>
  std::array<V, 2> costly(const Element<V>& e, const NoLead<V>&) const {
    const Mix<V> mix(e, exp(e.x));
    return {mix.q, times_or_zero(mix.q, mix.log_q())};
  }
  template <class V>
  std::array<V, 1> add(const Element<V>& e, const NoLead<V>&, const std::array<V, 2>& known) const {
    return {0.5 * (times_or_zero(e.a, Mix<V>(e, known[0]).log_t()) + known[1])};
  }
  template <class V>
  RowSum<V, 0> finish(const std::array<V, 1>& sum, const NoLead<V>&) const {
    return {sum[0], {}};
  }
  template <class V>
  ScoreTerms<V> derive(const Element<V>& e, const NoLead<V>&, const std::array<V, 0>&, const std::array<V, 2>& known) const {
    const V q = known[0], grad = 0.5 * known[1];
    return {grad, grad + 0.5 * times_or_zero(q, e.a / (q + e.a))};
  }

 private:
  template <class V>
  struct Mix {
    V q, t, both, d;

    Mix(const Element<V>& e, V exp_x) : q(exp_x), t(e.a), both(q + t), d(select(both == 0.0, 0.0, (q - t) / both)) {}
    /// Of q / m and t / m.
    V log_q() const { return log1p_of_both(d, q / (0.5 * both)); }
    V log_t() const { return log1p_of_both(-d, t / (0.5 * both)); }
  };
};

/// x - max, which is 0 of the max itself, also where it is infinite.
template <class V>
V from_largest(V x, V max) {
  return select(x == max, 0.0, x - max);
}

/// x - max, and its exponential or a power of that; the sums that its softmax needs, and what they tell.
template <class V>
struct Exponentiated {
  decltype(V{} == V{}) largest;
  V below, e;  // x - max; its exponential

  Exponentiated(V x, V max) : Exponentiated(x, max, exp_nonpositive(from_largest(x, max))) {}
  Exponentiated(V x, V max, V exponential) : largest(x == max), below(from_largest(x, max)), e(exponential) {}

  V other() const { return select(largest, 0.0, e); }
  V tie() const { return select(largest, 1.0, 0.0); }
};

/// Sum of exp(x - max) over all but one of the largest; NaN if every score is -inf.
template <class V>
V all_but_one(V others, V ties, V max) {
  return select(max == -simd::infinity<double>, std::nan(""), others + (ties - 1.0));
}

/// 1 - p, where the largest score's is known from the others.
template <class V>
V complement(const Exponentiated<V>& x, V p, V not_p_of_max) {
  return select(x.largest, not_p_of_max, 1.0 - p);
}

/// -sum of p log p of the softmax p: log of the total plus the mean of max - x under p.
struct Entropy : OfElements {
  static constexpr auto name = "entropy";
  static constexpr std::size_t leads = 1, sums = 3, factors = 3;
  static constexpr std::size_t costs = 1;
  static constexpr Targets targets = Targets::none;

  template <class V>
  std::array<V, 1> lead(const Element<V>& e) const {
    return {e.x};
  }
  template <class V>
  std::array<V, 1> costly(const Element<V>& e, const RowFacts<V, 1>& row) const {
    return {exp_nonpositive(from_largest(e.x, row.lead[0]))};
  }
  template <class V>
  std::array<V, 3> add(const Element<V>& e, const RowFacts<V, 1>& row, const std::array<V, 1>& known) const {
    const Exponentiated<V> x(e.x, row.lead[0], known[0]);
    return {x.other(), x.tie(), times_or_zero(x.e, -x.below)};
  }
  template <class V>
  RowSum<V, 3> finish(const std::array<V, 3>& sum, const RowFacts<V, 1>& row) const {
    const V others = all_but_one(sum[0], sum[1], row.lead[0]), inverse = 1.0 / (1.0 + others), mean = sum[2] * inverse;
    return {log1p(others) + mean, {inverse, others * inverse, mean}};
  }
  template <class V>
  ScoreTerms<V> derive(const Element<V>& e, const RowFacts<V, 1>& row, const std::array<V, 3>& factor,
                       const std::array<V, 1>& known) const {
    const Exponentiated<V> x(e.x, row.lead[0], known[0]);
    const V p = x.e * factor[0], above = -x.below - factor[2], grad = times_or_zero(p, above);
    return {grad, times_or_zero(p, complement(x, p, factor[1]) * (above - 1.0) - grad)};
  }
};

/// A softmax loss of probabilities a: the sum over the classes of what `Loss::term` returns for one of them, its derivatives by log p
/// weighted by a already.
template <class Loss>
struct OfProbabilities : OfElements {
  static constexpr Targets targets = Targets::probabilities;
  static constexpr std::size_t leads = 1, totals = 3, from_totals = 4, sums = 5, factors = 4;

  template <class V>
  using Facts =
      RowFacts<V, leads + from_totals>;  // the largest score, log of the total, its inverse, 1 - p of the largest, mean of `of_target`

  template <class V>
  std::array<V, 1> lead(const Element<V>& e) const {
    return {e.x};
  }
  template <class V>
  std::array<V, 3> total(const Element<V>& e, const Facts<V>& row) const {
    const Exponentiated<V> x(e.x, row.lead[0]);
    return {x.other(), x.tie(), times_or_zero(x.e, static_cast<const Loss&>(*this).of_target(e.a))};
  }
  template <class V>
  std::array<V, 4> normalise(const std::array<V, 3>& total, const Facts<V>& row) const {
    const V others = all_but_one(total[0], total[1], row.lead[0]), inverse = 1.0 / (1.0 + others);
    return {log1p(others), inverse, others * inverse, total[2] * inverse};
  }
  template <class V>
  std::array<V, 5> add(const Element<V>& e, const Facts<V>& row) const {
    const Exponentiated<V> x(e.x, row.lead[0]);
    const auto [f, fall, bend] = term(class_of(x, row), e.a, row.lead[4]);
    const auto share = [&](V of) { return std::pair(select(x.largest, 0.0, of), select(x.largest, of, 0.0)); };
    const auto [falls, largest_fall] = share(fall);
    const auto [bends, largest_bend] = share(bend);
    return {f, falls, largest_fall, bends, largest_bend};
  }
  template <class V>
  RowSum<V, 4> finish(const std::array<V, 5>& sum, const Facts<V>& row) const {
    return {select(row.lead[1] == row.lead[1], sum[0], row.lead[1]), {sum[1], sum[2], sum[3], sum[4]}};
  }
  template <class V>
  ScoreTerms<V> derive(const Element<V>& e, const Facts<V>& row, const std::array<V, 4>& factor) const {
    const Exponentiated<V> x(e.x, row.lead[0]);
    const ClassProbability<V> at = class_of(x, row);
    const auto [f, fall, bend] = term(at, e.a, row.lead[4]);
    // Of the largest, p may be nearly 1: all others are summed apart, so that nothing of theirs is lost.
    const auto of_others = [&](V others, V largest, V own) {
      return select(x.largest, others + (largest - own), (others + largest) - own);
    };
    const V falls = of_others(factor[0], factor[1], fall), bends = of_others(factor[2], factor[3], bend);
    return {times_or_zero(at.p, falls) - times_or_zero(at.not_p, fall),
            times_or_zero(at.not_p, at.not_p * bend) + times_or_zero(at.p, at.p * bends + at.not_p * (falls + fall))};
  }

 private:
  template <class V>
  ClassProbability<V> class_of(const Exponentiated<V>& x, const Facts<V>& row) const {
    const V p = x.e * row.lead[2];
    return {x.below - row.lead[1], p, complement(x, p, row.lead[3])};
  }
  template <class V>
  OfLogP<V> term(const ClassProbability<V>& at, V a, V mean) const {
    return static_cast<const Loss&>(*this).term(at, a, mean);
  }
};

/// Where the mean of something over the classes is not needed.
struct WithoutMean {
  template <class V>
  V of_target(V) const {
    return 0.0;
  }
};

/// a times f(log p).
template <class Loss, class V>
OfLogP<V> weighted(const Loss& loss, const ClassProbability<V>& at, V a) {
  const OfLogP<V> of = loss.of(at);
  return {times_or_zero(a, of.f), times_or_zero(a, of.fall), times_or_zero(a, of.bend)};
}

struct SoftmaxFocalOfProbabilities : OfProbabilities<SoftmaxFocalOfProbabilities>, WithoutMean {
  static constexpr auto name = "softmax_focal_of_probabilities";
  double gamma, alpha;

  template <class V>
  OfLogP<V> term(const ClassProbability<V>& at, V a, V) const {
    return weighted(SoftmaxFocal{gamma, alpha}, at, a);
  }
};

struct PolyCrossEntropyOfProbabilities : OfProbabilities<PolyCrossEntropyOfProbabilities>, WithoutMean {
  static constexpr auto name = "poly_cross_entropy_of_probabilities";
  double epsilon;

  template <class V>
  OfLogP<V> term(const ClassProbability<V>& at, V a, V) const {
    return weighted(PolyCrossEntropy{epsilon}, at, a);
  }
};

struct GeneralizedCrossEntropyOfProbabilities : OfProbabilities<GeneralizedCrossEntropyOfProbabilities>, WithoutMean {
  static constexpr auto name = "generalized_cross_entropy_of_probabilities";
  double q;

  template <class V>
  OfLogP<V> term(const ClassProbability<V>& at, V a, V) const {
    return weighted(GeneralizedCrossEntropy{q}, at, a);
  }
};

/// alpha times -a log p, plus beta times -p log a.
struct SymmetricCrossEntropyOfProbabilities : OfProbabilities<SymmetricCrossEntropyOfProbabilities> {
  static constexpr auto name = "symmetric_cross_entropy_of_probabilities";
  double alpha, beta;

  template <class V>
  V of_target(V a) const {
    return select(a > SymmetricCrossEntropy::least, log(a), SymmetricCrossEntropy::log_of_least);
  }
  /// The probabilities add up to 1: taking the same from all logarithms changes no derivative. Less their mean, they cancel least.
  template <class V>
  OfLogP<V> term(const ClassProbability<V>& at, V a, V mean) const {
    const V own = alpha * a, log_a = of_target(a), centred = -beta * times_or_zero(at.p, log_a - mean);
    return {times_or_zero(own, -at.log_p) - beta * times_or_zero(at.p, log_a), own - centred, centred};
  }
};

/// How far others come within the margin of the label: the largest of them, shared among equals, or all of them over the number of classes.
struct MultiHinge : OfElements {
  static constexpr auto name = "multi_hinge";
  static constexpr Targets targets = Targets::labels;
  static constexpr std::size_t leads = 1, sums = 2, factors = 2;
  double all, margin;

  template <class V>
  std::array<V, 1> lead(const Element<V>& e) const {
    return {select(e.is_label, -simd::infinity<double>, e.x)};
  }
  template <class V>
  std::array<V, 2> add(const Element<V>& e, const RowFacts<V, 1>& row) const {
    const V slack = all != 0.0 ? max(inside(e.x, row), 0.0) : select(e.x == e.x, 0.0, e.x);
    return {select(e.is_label, 0.0, slack), select(counts(e, row), 1.0, 0.0)};
  }
  template <class V>
  RowSum<V, 2> finish(const std::array<V, 2>& sum, const RowFacts<V, 1>& row) const {
    V value, unit, count = sum[1];
    if (all != 0.0) {
      value = sum[0] / row.classes;
      unit = 1.0 / row.classes;
    } else {
      value = max(inside(row.lead[0], row), 0.0) + sum[0];
      unit = select(value > 0.0, 1.0 / sum[1], 0.0);
    }
    unit = select(value == value, unit, value);  // a NaN anywhere in the row
    return {value, {unit, unit * count}};
  }
  template <class V>
  ScoreTerms<V> derive(const Element<V>& e, const RowFacts<V, 1>& row, const std::array<V, 2>& factor) const {
    return {select(e.is_label, 0.0 - factor[1], select(counts(e, row), factor[0], 0.0)), 0.0};
  }

 private:
  /// Equal scores differ by nothing, even if both are infinite.
  template <class V>
  V inside(V x, const RowFacts<V, 1>& row) const {
    return select(x == row.label_x, margin, (margin - row.label_x) + x);
  }
  template <class V>
  auto counts(const Element<V>& e, const RowFacts<V, 1>& row) const {
    return (!e.is_label) & (all != 0.0 ? inside(e.x, row) > 0.0 : e.x == row.lead[0]);
  }
};

/// alpha times the cross-entropy, plus (1 - alpha) T² times the divergence of the softmax at temperature T from the teacher's.
struct Distillation : OfElements {
  static constexpr auto name = "distillation";
  static constexpr std::size_t leads = 2, sums = 8, factors = 7, costs = 3;
  static constexpr bool teacher = true;
  double temperature, alpha;

  template <class V>
  std::array<V, 2> lead(const Element<V>& e) const {
    return {e.x, e.teacher};
  }
  template <class V>
  std::array<V, 3> costly(const Element<V>& e, const RowFacts<V, 2>& row) const {
    const V of_student = from_largest(e.x, row.lead[0]), of_teacher = from_largest(e.teacher, row.lead[1]);
    return {exp_nonpositive(of_student), exp_nonpositive(over(of_student, temperature)), exp_nonpositive(over(of_teacher, temperature))};
  }
  template <class V>
  std::array<V, 8> add(const Element<V>& e, const RowFacts<V, 2>& row, const std::array<V, 3>& known) const {
    const Softmaxes<V> of(e, row, known);
    const auto& [p, s, q] = of;
    return {p.other(), p.tie(), e.a, times_or_zero(e.a, -p.below), s.other(), q.other(), q.tie(), times_or_zero(q.e, q.below - p.below)};
  }
  template <class V>
  RowSum<V, 7> finish(const std::array<V, 8>& sum, const RowFacts<V, 2>& row) const {
    const V p = all_but_one(sum[0], sum[1], row.lead[0]), s = all_but_one(sum[4], sum[1], row.lead[0]),
            q = all_but_one(sum[5], sum[6], row.lead[1]);
    const V of_p = 1.0 / (1.0 + p), of_s = 1.0 / (1.0 + s), of_q = 1.0 / (1.0 + q);
    const V entropy = sum[2] * log1p(p) + sum[3], divergence = sum[7] / temperature * of_q - log1p(q) + log1p(s);
    const V value = times_or_zero(V(alpha), entropy) + times_or_zero(V((1.0 - alpha) * temperature * temperature), divergence);
    return {value, {of_p, p * of_p, sum[2], of_s, s * of_s, of_q, q * of_q}};
  }
  template <class V>
  ScoreTerms<V> derive(const Element<V>& e, const RowFacts<V, 2>& row, const std::array<V, 7>& factor,
                       const std::array<V, 3>& known) const {
    const Softmaxes<V> of(e, row, known);
    const auto& [of_p, of_s, of_q] = of;
    const V p = of_p.e * factor[0], s = of_s.e * factor[3], q = of_q.e * factor[5], mass = factor[2];
    const V not_p = complement(of_p, p, factor[1]), not_s = complement(of_s, s, factor[4]), not_q = complement(of_q, q, factor[6]);
    // Near 1, probabilities differ by what they lack.
    const V by_target = select(of_p.largest, (mass - e.a) - mass * not_p, mass * p - e.a);
    const V by_teacher = select(of_s.largest, not_q - not_s, s - q);
    return {alpha * by_target + (1.0 - alpha) * temperature * by_teacher, alpha * mass * p * not_p + (1.0 - alpha) * s * not_s};
  }

 private:
  /// Exponentials of the scores; of the scores and the teacher's over the temperature. `below` is never divided: `finish` does that.
  template <class V>
  struct Softmaxes {
    Exponentiated<V> p, s, q;

    Softmaxes(const Element<V>& e, const RowFacts<V, 2>& row, const std::array<V, 3>& known)
        : p(e.x, row.lead[0], known[0]), s(e.x, row.lead[0], known[1]), q(e.teacher, row.lead[1], known[2]) {}
  };
};

}  // namespace pyloss
