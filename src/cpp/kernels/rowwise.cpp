#include "rowwise.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "../losses/registry.hpp"
#include "block.hpp"
#include "buffer.hpp"

namespace pyloss {

namespace {

using simd::Pack;
using simd::for_each_pack;

/// Scores that pass through scratch at a time: a row of no more needs each exponential only once.
template <class T>
constexpr std::size_t row_block = 16384 / sizeof(T);

/// Scores of a chunk of rows, about.
constexpr std::size_t chunk_scores = 32768;

template <class T>
T max_of(const T* x, std::size_t size) {
  using V = Pack<T>;
  constexpr T lowest = -simd::infinity<T>;
  std::array<V, simd::group<T> / V::lanes> best;
  best.fill(V(static_cast<double>(lowest)));
  for_each_pack<T>(size, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
    best[place] = max(best[place], select(lanes.real(), lanes.load(x + i), static_cast<double>(lowest)));
  });
  T result = lowest;
  for (const V& pack : best) {
    for (std::size_t i = 0; i < V::lanes; ++i) result = std::max(result, pack.v[i]);
  }
  return result;
}

/// max - x, 0 where x is the largest even if both are infinite.
template <class V>
PYLOSS_INLINE V gap_below(V max, V x) {
  return select(x == max, 0.0, max - x);
}

/// A row's softmax while it is being read, relative to the largest score so far.
struct RunningRow {
  double max = -simd::infinity<double>;
  double below = 0.0;  // sum of exp(x - max) over x < max
  double ties = 0.0;   // number of x = max
  double mass = 0.0, distance = 0.0;

  void raise_max(double to) {
    if (!(to > max)) return;
    below = (below + ties) * std::exp(max - to);
    ties = 0.0;
    if (mass != 0.0) distance += mass * (to - max);
    max = to;
  }

  SoftmaxRow finish() const {
    const bool empty = max == -simd::infinity<double>;  // no softmax: every score is -inf
    return {.max = max, .others = empty ? std::nan("") : below + (ties - 1.0), .mass = mass, .distance = distance};
  }
};

/// Takes a block of scores into `row`, keeping the exponentials if asked to. `target` are the dense target weights, if any.
template <bool dense, class T>
void scan(RunningRow& row, const T* x, Input<T> target, std::size_t size, T* kept) {
  using V = Pack<T>;
  row.raise_max(static_cast<double>(max_of(x, size)));
  const V max = row.max;
  simd::Sum<T> below, mass, distance;
  std::array<V, simd::group<T> / V::lanes> ties;
  ties.fill(0.0);
  for_each_pack<T>(size, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
    const V at = lanes.load(x + i), gap = gap_below(max, at), e = exp(-gap);
    const auto tie = at == max;
    if (kept) lanes.store(kept + i, e);
    below.add(place, select(tie | !lanes.real(), 0.0, e));
    ties[place] += select(tie & lanes.real(), 1.0, 0.0);
    if constexpr (dense) {
      const V a = target.load(i, lanes);
      mass.add(place, a);
      distance.add(place, times_or_zero(a, gap));
    }
  });
  row.below += below.total();
  for (const V& pack : ties) {
    for (std::size_t i = 0; i < V::lanes; ++i) row.ties += static_cast<double>(pack.v[i]);
  }
  if constexpr (dense) {
    row.mass += mass.total();
    row.distance += distance.total();
  }
}

/// What the derivatives of a row need.
struct Pull {
  RowTerms terms;
  double max, total, others;
  double scale;  // of the results: the caller's, times the row's weight
};

/// Derivatives by a block of scores; `exponentials` from the scan, if kept. Where a score dominates, 1 - p is taken from the others.
template <bool dense, bool second, class T>
void derive(const Pull& row, const T* x, const T* exponentials, Input<T> target, std::size_t size, T* grad, T* hess) {
  using V = Pack<T>;
  const V max = row.max, inverse = 1.0 / row.total, pull = row.terms.pull, quad = row.terms.quad, not_p_of_max = row.others / row.total;
  const V scale = row.scale, pull_scaled = row.terms.pull / row.total * row.scale;
  for_each_pack<T>(size, [&](std::size_t i, auto, auto lanes) PYLOSS_INLINE_LAMBDA {
    const V e = exponentials ? lanes.load(exponentials + i) : exp(-gap_below(max, lanes.load(x + i)));
    if constexpr (!dense) lanes.store(grad + i, e * pull_scaled);
    if constexpr (dense || second) {
      const V p = e * inverse;
      const auto largest = lanes.load(x + i) == max;
      if constexpr (dense) {
        const V a = target.load(i, lanes);
        lanes.store(grad + i, select(largest, (pull - a) - pull * not_p_of_max, pull * p - a) * scale);
      }
      if constexpr (second) {
        const V not_p = select(largest, not_p_of_max, 1.0 - p);
        lanes.store(hess + i, (pull * p * not_p + quad * p * p) * scale);
      }
    }
  });
}

/// Scores as the softmax sees them: x -> softcap tanh(x / softcap) / temperature.
template <class T>
class Transform {
 public:
  explicit Transform(const RowComponent& component) : cap_(component.softcap), temperature_(component.temperature) {}

  bool identity() const { return cap_ == 0.0 && temperature_ == 1.0; }

  void apply(T* x, std::size_t size) const {
    for_each_pack<T>(size, [&](std::size_t i, auto, auto lanes) PYLOSS_INLINE_LAMBDA {
      Pack<T> at = lanes.load(x + i);
      if (cap_ != 0.0) at = cap_ * tanh(at / cap_);
      lanes.store(x + i, at / temperature_);
    });
  }

  /// Turns derivatives by transformed scores x into derivatives by the scores themselves.
  void chain(const T* x, T* grad, T* hess, std::size_t size) const {
    using V = Pack<T>;
    for_each_pack<T>(size, [&](std::size_t i, auto, auto lanes) PYLOSS_INLINE_LAMBDA {
      V first = 1.0 / temperature_, second = 0.0;
      if (cap_ != 0.0) {
        const V t = lanes.load(x + i) * (temperature_ / cap_);
        first = (1.0 - t * t) / temperature_;
        second = t * first * (-2.0 / cap_);
      }
      const V g = lanes.load(grad + i);
      lanes.store(grad + i, g * first);
      if (hess) lanes.store(hess + i, lanes.load(hess + i) * first * first + g * second);
    });
  }

 private:
  double cap_, temperature_;
};

/// The target weights of one component: a = on * target + base for each class.
template <class T>
class TargetWeights {
 public:
  TargetWeights(const RowComponent& component, std::size_t classes)
      : weight_(component.class_weight),
        smoothing_(component.label_smoothing),
        base_(smoothing_ / static_cast<double>(classes)),
        constant_base_(base_),
        constant_on_(1.0 - smoothing_) {
    for (const double weight : weight_) {
      bases_.push_back(static_cast<T>(base_ * weight));
      ons_.push_back(static_cast<T>((1.0 - smoothing_) * weight));
    }
  }

  bool smoothed() const { return smoothing_ != 0.0; }
  double on(std::size_t c) const { return (1.0 - smoothing_) * weight(c); }
  double base(std::size_t c) const { return base_ * weight(c); }
  Input<T> bases(std::size_t begin) const { return weight_.empty() ? Input<T>(constant_base_) : Input<T>{bases_.data() + begin}; }

  /// Turns a block of a target row into target weights.
  void apply(T* target, std::size_t begin, std::size_t size) const {
    const Input<T> base = bases(begin), on = weight_.empty() ? Input<T>(constant_on_) : Input<T>{ons_.data() + begin};
    for_each_pack<T>(size, [&](std::size_t i, auto, auto lanes) PYLOSS_INLINE_LAMBDA {
      lanes.store(target + i, fma(on.load(i, lanes), lanes.load(target + i), base.load(i, lanes)));
    });
  }

 private:
  double weight(std::size_t c) const { return weight_.empty() ? 1.0 : weight_[c]; }

  const std::vector<double>& weight_;
  double smoothing_, base_;
  Constant<T> constant_base_, constant_on_;
  std::vector<T> bases_, ons_;
};

/// One thread's work on rows.
template <class T>
class Worker {
 public:
  Worker(std::span<const RowComponent> components, const RowwiseCall& call)
      : components_(components), call_(call), pulls_(components.size()), labels_(components.size()) {
    const std::size_t block = std::min(call.classes, row_block<T>);
    for (auto* buffer : {&scores_, &targets_, &kept_, &grad_, &hess_, &more_grad_, &more_hess_}) *buffer = Buffer<T>(block);
    for (const RowComponent& component : components) {
      transforms_.emplace_back(component);
      target_weights_.emplace_back(component, call.classes);
    }
  }

  void row(std::size_t row, double* sums) {
    double weight = 1.0, value = 0.0;
    if (call_.weight) call_.weight.read(row, 1, &weight);
    for (std::size_t k = 0; k < components_.size(); ++k) {
      const double own = weight == 0.0 ? excluded(k) : scan_row(k, row, weight);
      sums[k] += weight * own;
      value += call_.scale[k] * weight * own;
    }
    if (call_.value) {
      const T one = static_cast<T>(value);
      call_.value.write(row, 1, &one, false);
    }
    if (call_.want == Want::value) return;
    for (std::size_t begin = 0; begin < call_.classes; begin += row_block<T>) {
      const std::size_t size = std::min(row_block<T>, call_.classes - begin);
      T* const hess = call_.want == Want::hess ? hess_.data() : nullptr;
      derive_block(0, row, begin, size, grad_.data(), hess);
      for (std::size_t k = 1; k < components_.size(); ++k) {
        derive_block(k, row, begin, size, more_grad_.data(), hess ? more_hess_.data() : nullptr);
        add(grad_.data(), more_grad_.data(), size);
        if (hess) add(hess, more_hess_.data(), size);
      }
      const std::size_t first = row * call_.classes + begin;
      call_.grad.write(first, size, grad_.data(), streams(call_.grad));
      if (hess) call_.hess.write(first, size, hess, streams(call_.hess));
    }
  }

  static bool streams(const View& view) { return view.size() * sizeof(T) >= stream_from; }

 private:
  static constexpr std::int64_t none = -1;

  double excluded(std::size_t k) {
    pulls_[k].scale = 0.0;
    return 0.0;
  }

  /// A block of transformed scores: the caller's memory itself where that serves.
  const T* scores(std::size_t k, std::size_t row, std::size_t begin, std::size_t size) {
    const std::size_t first = row * call_.classes + begin;
    if (transforms_[k].identity()) {
      if (const T* there = call_.scores.template side_by_side<T>(first, size)) return there;
    }
    call_.scores.read(first, size, scores_.data());
    if (!transforms_[k].identity()) transforms_[k].apply(scores_.data(), size);
    return scores_.data();
  }

  bool dense(std::size_t k) const { return !call_.labels || target_weights_[k].smoothed(); }

  Input<T> target(std::size_t k, std::size_t row, std::size_t begin, std::size_t size) {
    if (call_.labels) return target_weights_[k].bases(begin);
    call_.target.read(row * call_.classes + begin, size, targets_.data());
    target_weights_[k].apply(targets_.data(), begin, size);
    return {targets_.data()};
  }

  /// The value of a row under component k, and what its derivatives will need.
  double scan_row(std::size_t k, std::size_t row, double weight) {
    const RowComponent& component = components_[k];
    std::int64_t label = none;
    if (call_.labels) {
      call_.target.read(row, 1, &label);
      if (component.ignored == label) return excluded(k);
    }
    RunningRow running;
    // Kept exponentials are relative to the row's largest score only if the whole row is one block.
    T* const kept = keeps() ? kept_.data() : nullptr;
    for (std::size_t begin = 0; begin < call_.classes; begin += row_block<T>) {
      const std::size_t size = std::min(row_block<T>, call_.classes - begin);
      const T* x = scores(k, row, begin, size);
      if (dense(k)) {
        scan<true>(running, x, target(k, row, begin, size), size, kept);
      } else {
        scan<false>(running, x, Input<T>{}, size, kept);
      }
    }
    SoftmaxRow softmax = running.finish();
    LabelTerms& at = labels_[k];
    at.label = label;
    if (call_.labels) {
      const auto c = static_cast<std::size_t>(label);
      const double x = static_cast<double>(*scores(k, row, c, 1)), on = target_weights_[k].on(c);
      const double gap = x == softmax.max ? 0.0 : softmax.max - x;
      softmax.mass += on;
      if (on != 0.0) softmax.distance += on * gap;
      at.p = std::exp(-gap) / softmax.total();
      at.not_p = x == softmax.max ? softmax.others / softmax.total() : 1.0 - at.p;
    }
    const RowTerms terms = rowwise_table()[component.entry].terms(component.parameters.data(), softmax);
    pulls_[k] = {.terms = terms, .max = softmax.max, .total = softmax.total(), .others = softmax.others, .scale = weight * call_.scale[k]};
    return terms.value;
  }

  void derive_block(std::size_t k, std::size_t row, std::size_t begin, std::size_t size, T* grad, T* hess) {
    const Pull& pull = pulls_[k];
    if (pull.scale == 0.0) {
      std::fill_n(grad, size, T{0});
      if (hess) std::fill_n(hess, size, T{0});
      return;
    }
    const T* x = scores(k, row, begin, size);
    const T* kept = keeps() ? kept_.data() : nullptr;
    const bool dense_target = dense(k);
    const Input<T> a = dense_target ? target(k, row, begin, size) : Input<T>{};
    if (dense_target) {
      hess ? derive<true, true>(pull, x, kept, a, size, grad, hess) : derive<true, false>(pull, x, kept, a, size, grad, hess);
    } else {
      hess ? derive<false, true>(pull, x, kept, a, size, grad, hess) : derive<false, false>(pull, x, kept, a, size, grad, hess);
    }
    const LabelTerms& at = labels_[k];
    const auto c = static_cast<std::size_t>(at.label);
    if (call_.labels && c - begin < size) {
      const double on = target_weights_[k].on(c), base = target_weights_[k].base(c);
      const RowTerms& terms = pull.terms;
      // pull p - a with p = 1 - not_p: nothing is lost where p is nearly 1.
      grad[c - begin] = static_cast<T>(((terms.pull - on) - terms.pull * at.not_p - base) * pull.scale);
      if (hess) hess[c - begin] = static_cast<T>((terms.pull * at.p * at.not_p + terms.quad * at.p * at.p) * pull.scale);
    }
    if (!transforms_[k].identity()) transforms_[k].chain(x, grad, hess, size);
  }

  bool keeps() const { return call_.classes <= row_block<T> && components_.size() == 1; }

  static void add(T* to, const T* from, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) to[i] += from[i];
  }

  struct LabelTerms {
    std::int64_t label = none;
    double p = 0.0, not_p = 0.0;
  };

  std::span<const RowComponent> components_;
  const RowwiseCall& call_;
  std::vector<Transform<T>> transforms_;
  std::vector<TargetWeights<T>> target_weights_;
  std::vector<Pull> pulls_;
  std::vector<LabelTerms> labels_;
  Buffer<T> scores_, targets_, kept_, grad_, hess_, more_grad_, more_hess_;
};

template <class T>
bool run(std::span<const RowComponent> components, const RowwiseCall& call, Interrupt& interrupt, std::span<double> totals) {
  const std::size_t rows_per_chunk = std::max<std::size_t>(1, chunk_scores / std::max<std::size_t>(call.classes, 1));
  const std::size_t chunks = (call.rows + rows_per_chunk - 1) / rows_per_chunk, terms = components.size();
  const std::size_t threads = std::clamp<std::size_t>(chunks, 1, static_cast<std::size_t>(std::max(call.threads, 1)));
  std::vector<Worker<T>> workers;
  workers.reserve(threads);
  for (std::size_t i = 0; i < threads; ++i) workers.emplace_back(components, call);
  std::vector<double> sums(chunks * terms);
  const bool done = for_each_chunk(chunks, static_cast<int>(threads), interrupt, [&](std::size_t chunk, int thread) {
    const std::size_t end = std::min((chunk + 1) * rows_per_chunk, call.rows);
    for (std::size_t row = chunk * rows_per_chunk; row < end; ++row) workers[static_cast<std::size_t>(thread)].row(row, &sums[chunk * terms]);
    simd::stream_fence();
  });
  for (std::size_t i = 0; i < sums.size(); ++i) totals[i % terms] += sums[i];
  return done;
}

template <class Loss>
RowEntry entry() {
  return {Loss::name, parameters_of<Loss>, [](const double* parameters, const SoftmaxRow& row) { return with_parameters<Loss>(parameters)(row); }};
}

template <class... Losses>
std::span<const RowEntry> table_of(List<Losses...>) {
  static const std::array<RowEntry, sizeof...(Losses)> table{entry<Losses>()...};
  return table;
}

}  // namespace

std::span<const RowEntry> rowwise_table() { return table_of(Rowwise{}); }

bool run_rowwise(std::span<const RowComponent> components, const RowwiseCall& call, Interrupt& interrupt, std::span<double> totals) {
  return call.float64 ? run<double>(components, call, interrupt, totals) : run<float>(components, call, interrupt, totals);
}

Checked check_labels(const View& labels, std::size_t classes, const RowComponent& component, const View& weight) {
  Checked result;
  for (std::size_t row = 0; row < labels.size(); ++row) {
    std::int64_t label;
    labels.read(row, 1, &label);
    if (component.ignored == label) continue;
    if (label < 0 || static_cast<std::size_t>(label) >= classes) {
      result.first_bad = row;
      return result;
    }
    double w = 1.0;
    if (weight) weight.read(row, 1, &w);
    result.total += component.class_weight.empty() ? w : w * component.class_weight[static_cast<std::size_t>(label)];
  }
  return result;
}

}  // namespace pyloss
