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
#include "outgoing.hpp"

namespace pyloss {

namespace {

using simd::for_each_pack;
using simd::Pack;

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
  T lane[simd::group<T>];
  std::memcpy(lane, best.data(), sizeof lane);
  for (std::size_t half = simd::group<T> / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) lane[i] = std::max(lane[i], lane[i + half]);
  }
  return lane[0];
}

/// x - max; 0 where x is the largest even if both are infinite.
template <class V>
PYLOSS_INLINE V below_max(V x, V max, bool finite) {
  const V below = x - max;
  return finite ? below : select(x == max, 0.0, below);
}

/// A row's softmax while it is being read, relative to the largest score so far.
struct RunningRow {
  double max = -simd::infinity<double>;
  double total = 0.0;  // sum of exp(x - max)
  double mass = 0.0, distance = 0.0;

  void raise_max(double to) {
    if (!(to > max)) return;
    if (total != 0.0) total *= std::exp(max - to);
    if (mass != 0.0) distance += mass * (to - max);
    max = to;
  }
};

/// Exponentials that a lane adds up in T before widening to float64, which costs as much as five additions: their own errors are
/// larger than those of so short a sum.
constexpr std::size_t widen_every = 8;

/// Takes a block of scores into `row`, keeping the exponentials if asked to. `target` are the dense target weights, if any. What follows
/// the block in memory is fetched meanwhile: it is wanted next, and the exponentials leave the memory idle.
template <bool dense, class T>
void scan(RunningRow& row, const T* x, Input<T> target, std::size_t size, T* kept, Outgoing<T>& outgoing) {
  using V = Pack<T>;
  Outgoing<T> leaving = outgoing;  // a local copy: the loop's stores cannot change it
  row.raise_max(static_cast<double>(max_of(x, size)));
  const V max = row.max;
  const bool finite = std::isfinite(row.max);
  simd::Sum<T> total, mass, distance;
  std::array<V, simd::group<T> / V::lanes> few;
  few.fill(0.0);
  for_each_pack<T>(size, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
    if constexpr (place == 0) __builtin_prefetch(x + size + i);
    leaving.step();
    const V below = below_max(lanes.load(x + i), max, finite), e = exp_nonpositive(below);
    if (kept) lanes.store(kept + i, e);
    few[place] += lanes.or_zero(e);
    if (i / simd::group<T> % widen_every == widen_every - 1) {
      total.add(place, few[place]);
      few[place] = 0.0;
    }
    if constexpr (dense) {
      const V a = target.load(i, lanes);
      mass.add(place, a);
      distance.add(place, times_or_zero(a, -below));
    }
  });
  outgoing = leaving;
  total.add(few);
  row.total += total.total();
  if constexpr (dense) {
    row.mass += mass.total();
    row.distance += distance.total();
  }
}

/// Where one score dominates, 1 + others has lost the others: adds up a block of them, and counts the largest.
template <class T>
void scan_others(const T* x, double row_max, std::size_t size, double& others, double& ties) {
  using V = Pack<T>;
  const V max = row_max;
  simd::Sum<T> below, equal;
  for_each_pack<T>(size, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
    const V at = lanes.load(x + i);
    const auto largest = at == max;
    below.add(place, lanes.or_zero(select(largest, 0.0, exp_nonpositive(at - max))));
    equal.add(place, lanes.or_zero(select(largest, 1.0, 0.0)));
  });
  others += below.total();
  ties += equal.total();
}

/// What the derivatives by a row's scores need, one row a lane (or the same row in all).
template <class V>
struct Factors {
  V max, inverse_total, pull, quad, not_p_of_max, scale, pull_scaled, hess_scale;
};

template <class V>
struct Derivatives {
  V grad, hess;
};

/// Derivatives by score x with e = exp(x - max) and dense target weight a. Where a score dominates, 1 - p is taken from the others.
template <bool dense, bool second, class V>
PYLOSS_INLINE Derivatives<V> derivatives(const Factors<V>& row, V x, V e, V a) {
  Derivatives<V> result;
  result.grad = times_or_zero(e, row.pull_scaled);  // a z-loss may pull infinitely
  if constexpr (dense || second) {
    const V p = e * row.inverse_total;
    const auto largest = x == row.max;
    if constexpr (dense)
      result.grad = select(largest, (row.pull - a) - times_or_zero(row.not_p_of_max, row.pull), times_or_zero(p, row.pull) - a) * row.scale;
    if constexpr (second) {
      const V not_p = select(largest, row.not_p_of_max, 1.0 - p);
      result.hess = (times_or_zero(p * not_p, row.pull) + row.quad * p * p) * row.hess_scale;
    }
  }
  return result;
}

/// Calls use(dense, second) with the two as constants.
template <class Use>
void with_constants(bool dense, bool second, Use&& use) {
  if (dense) {
    second ? use(std::true_type{}, std::true_type{}) : use(std::true_type{}, std::false_type{});
  } else {
    second ? use(std::false_type{}, std::true_type{}) : use(std::false_type{}, std::false_type{});
  }
}

/// A row's softmax, what its loss makes of it, and its label's own place in it.
struct Row {
  std::int64_t label = -1;
  double max = 0.0, others = 0.0, mass = 0.0, distance = 0.0;
  double value = 0.0, pull = 0.0, quad = 0.0, bend = 0.0;
  double scale = 0.0, hess_scale = 0.0;   // of the derivatives: the caller's, times the row's weight and the scores' scale
  double label_p = 0.0, not_label = 0.0;  // probability of the label, and 1 less that
  double on = 0.0, base = 0.0;            // target weight that the label has beside the dense part, and its dense part

  double total() const { return 1.0 + others; }

  /// Derivatives by the label's score: pull p - a, with p = 1 - not_p where p is the larger, so that nothing is lost near 1.
  double label_grad() const { return (label_p < 0.5 ? pulled(label_p) - on - base : (pull - on) - pulled(not_label) - base) * scale; }
  double label_hess() const { return (pulled(label_p * not_label) + quad * label_p * label_p + bend * not_label * not_label) * hess_scale; }

  double pulled(double p) const { return p == 0.0 ? 0.0 : pull * p; }

  static constexpr double largest_factor = std::numeric_limits<float>::max();

  template <class V>
  Factors<V> factors() const {
    // Where bend is that large, the probabilities are 0 in float32: they must not meet an infinity.
    const double all_quad = std::clamp(quad + bend, -largest_factor, largest_factor);
    return {max, 1.0 / total(), pull, all_quad, others / total(), scale, pull / total() * scale, hess_scale};
  }
};

/// Derivatives by the scores [begin, end) of a block, whose exponentials the scan may have kept.
template <bool dense, bool second, class T>
void derive(const Row& row, const T* x, const T* exponentials, Input<T> target, std::size_t begin, std::size_t end, T* grad, T* hess,
            bool stream) {
  using V = Pack<T>;
  const auto factors = row.template factors<V>();
  const bool finite = std::isfinite(row.max);
  simd::for_each_aligned_pack<T>(grad, begin, end, [&](std::size_t i, auto lanes) PYLOSS_INLINE_LAMBDA {
    const V at = lanes.load(x + i), e = exponentials ? lanes.load(exponentials + i) : exp_nonpositive(below_max(at, factors.max, finite));
    const auto by_score = derivatives<dense, second>(factors, at, e, dense ? target.load(i, lanes) : V(0.0));
    if (stream) {
      lanes.stream(grad + i, by_score.grad);
    } else {
      lanes.store(grad + i, by_score.grad);
    }
    if constexpr (second) lanes.store(hess + i, by_score.hess);
  });
}

/// Scores as the softmax sees them: x -> softcap tanh(x / softcap) / temperature.
template <class T>
class Transform {
 public:
  Transform(const RowComponent& component, bool of_labels)
      : cap_(component.softcap), temperature_(component.temperature), of_labels_(of_labels) {}

  bool identity() const { return cap_ == 0.0 && temperature_ == 1.0 && !of_labels_; }
  /// Whether each score has a slope of its own; else all have slope().
  bool bends() const { return cap_ != 0.0; }
  double slope() const { return bends() ? 1.0 : 1.0 / temperature_; }

  /// A label's own score, and what its derivatives become after those of all have been changed.
  T label(const LabelScore& score) const { return static_cast<T>(score.value / temperature_); }
  static void chain_label(const LabelScore& score, T& grad, T* hess) {
    const auto g = static_cast<double>(grad);
    if (hess) *hess = static_cast<T>(static_cast<double>(*hess) * score.first * score.first + g * score.second);
    grad = static_cast<T>(g * score.first);
  }

  void apply(T* x, std::size_t size) const {
    for_each_pack<T>(size, [&](std::size_t i, auto, auto lanes) PYLOSS_INLINE_LAMBDA {
      Pack<T> at = lanes.load(x + i);
      if (cap_ != 0.0) at = cap_ * tanh(at / cap_);
      lanes.store(x + i, at / temperature_);
    });
  }

  /// Turns derivatives by transformed scores x into derivatives by the scores themselves, where each has a slope of its own.
  void chain(const T* x, T* grad, T* hess, std::size_t size) const {
    using V = Pack<T>;
    for_each_pack<T>(size, [&](std::size_t i, auto, auto lanes) PYLOSS_INLINE_LAMBDA {
      const V t = lanes.load(x + i) * (temperature_ / cap_);
      const V first = (1.0 - t * t) / temperature_, second = t * first * (-2.0 / cap_);
      const V g = lanes.load(grad + i);
      lanes.store(grad + i, g * first);
      if (hess) lanes.store(hess + i, lanes.load(hess + i) * first * first + g * second);
    });
  }

 private:
  double cap_, temperature_;
  bool of_labels_;
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
  /// Whether they are the target itself.
  bool plain() const { return weight_.empty() && !smoothed(); }
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

/// One thread's work on rows. Few classes: a tile of rows at a time, one row a lane. Many: a row at a time, a block of it a loop.
template <class T>
class Worker {
 public:
  Worker(std::span<const RowComponent> components, const RowwiseCall& call, Interrupt& interrupt, bool is_caller)
      : components_(components),
        call_(call),
        interrupt_(interrupt),
        is_caller_(is_caller),
        classes_(call.classes),
        tiled_(call.classes <= max_tile_classes),
        second_(call.want == Want::hess),
        streams_(call.grad.size() * sizeof(T) >= stream_from),
        rows_(components.size() * tile_rows) {
    const std::size_t block = tiled_ ? classes_ * tile_rows : std::min(classes_, row_block<T>);
    for (auto* buffer : {&plain_, &scores_, &targets_, &exponentials_, &grad_, &leaving_, &hess_, &more_grad_, &more_hess_})
      *buffer = Buffer<T>(block);
    for (const RowComponent& component : components) {
      const RowEntry& entry = table_[component.entry];
      transforms_.emplace_back(component, entry.label_scores != nullptr);
      target_weights_.emplace_back(component, classes_);
      sums_.push_back(entry.sums ? entry.sums->make<T>(component.parameters.data()) : nullptr);
      if (sums_.back() && call.want != Want::value && (tiled_ || one_block())) sums_.back()->keep(block);
      if (entry.label_scores) label_scores_.resize(components.size() * tile_rows);
    }
    if (call.teacher) teacher_ = Buffer<T>(block);
  }

  /// Rows [begin, end); adds weighted values to `sums`.
  void rows(std::size_t begin, std::size_t end, double* sums) {
    lost_.assign(components_.size(), 0.0);
    for (std::size_t first = begin; first < end; first += tile_rows) {
      const std::size_t count = std::min(tile_rows, end - first);
      std::fill_n(weights_, tile_rows, 1.0);
      if (call_.weight) call_.weight.read(first, count, weights_);
      if (call_.labels) call_.target.read(first, count, labels_);
      if (tiled_) {
        tile(first, count, sums);
      } else {
        for (std::size_t i = 0; i < count; ++i) long_row(first + i, i, sums);
      }
    }
    for (std::size_t k = 0; k < components_.size(); ++k) {
      if (std::isfinite(lost_[k])) sums[k] += lost_[k];
    }
    outgoing_.finish();
    grad_joined_.finish();
    hess_joined_.finish();
  }

 private:
  static constexpr std::size_t tile_rows = simd::group<T>;
  static constexpr std::size_t max_tile_classes = 64;

  Row& row_of(std::size_t k, std::size_t i) { return rows_[k * tile_rows + i]; }
  const RowEntry& entry(std::size_t k) const { return table_[components_[k].entry]; }
  bool dense(std::size_t k) const { return call_.labels ? target_weights_[k].smoothed() : static_cast<bool>(call_.target); }
  bool left_out(std::size_t k, std::size_t i) const { return weights_[i] == 0.0 || (call_.labels && components_[k].ignored == labels_[i]); }

  /// Starts row i of a component with what its scan found; x is the label's score, of probability e / total.
  void begin_row(std::size_t k, std::size_t i, double max, double others, double mass, double distance, double x, double e) {
    Row& row = row_of(k, i);
    row = {.label = call_.labels ? labels_[i] : -1, .max = max, .others = others, .mass = mass, .distance = distance};
    row.scale = weights_[i] * call_.scale[k] * transforms_[k].slope();
    row.hess_scale = row.scale * transforms_[k].slope();
    if (max == -simd::infinity<double>) row.others = std::nan("");  // no softmax: every score is -inf
    if (!call_.labels) return;
    const auto c = static_cast<std::size_t>(row.label);
    row.on = target_weights_[k].on(c);
    row.base = target_weights_[k].base(c);
    row.mass += row.on;
    if (row.on != 0.0 && x != max) row.distance += row.on * (max - x);
    row.label_p = e / row.total();
    row.not_label = x == max ? row.others / row.total() : 1.0 - row.label_p;
  }

  /// Asks the loss about `count` rows of component k.
  void finish_rows(std::size_t k, std::size_t begin, std::size_t count) {
    double field[6][tile_rows] = {}, term[5][tile_rows];
    for (std::size_t i = 0; i < count; ++i) {
      const Row& row = row_of(k, begin + i);
      const double fields[] = {row.max, row.others, row.mass, row.distance, row.label_p, row.not_label};
      for (std::size_t f = 0; f < 6; ++f) field[f][i] = fields[f];
    }
    for (std::size_t i = 0; i < count; i += Rows::lanes) {
      const auto at = [&](std::size_t f) { return Rows::load(field[f] + i); };
      const auto terms = entry(k).terms(components_[k].parameters.data(), {at(0), at(1), at(2), at(3), at(4), at(5)});
      const Rows results[] = {terms.value, terms.pull, terms.quad, terms.push, terms.bend};
      for (std::size_t f = 0; f < 5; ++f) results[f].store(term[f] + i);
    }
    for (std::size_t i = 0; i < count; ++i) {
      Row& row = row_of(k, begin + i);
      row.value = term[0][i];
      row.pull = term[1][i];
      row.quad = term[2][i];
      row.on *= term[3][i];  // losses that push by anything but 1 have no dense part
      row.bend = term[4][i];
    }
  }

  /// Adds up the values of `count` rows and stores them, from `first` on, if wanted.
  void reduce(std::size_t first, std::size_t begin, std::size_t count, double* sums) {
    T values[tile_rows];
    for (std::size_t i = begin; i < begin + count; ++i) {
      double value = 0.0;
      for (std::size_t k = 0; k < components_.size(); ++k) {
        if (left_out(k, i)) continue;
        const double own = weights_[i] * row_of(k, i).value;
        // What the sum has lost to rounding is kept: of many like values it would be always the same.
        const double before = sums[k], after = before + own, added = after - before;
        lost_[k] += (before - (after - added)) + (own - added);
        sums[k] = after;
        value += call_.scale[k] * own;
      }
      values[i - begin] = static_cast<T>(value);
    }
    if (call_.value) call_.value.write(first, count, values);
  }

  /// Adds the derivatives of a further component to those of the first ones.
  void add_component(std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) grad_.data()[i] += more_grad_.data()[i];
    if (!second_) return;
    for (std::size_t i = 0; i < size; ++i) hess_.data()[i] += more_hess_.data()[i];
  }

  /// Puts the surrogate in place of second derivatives, which are scaled already: of `period` rows from `first` side by side.
  void put_surrogates(std::size_t k, std::size_t first, std::size_t period, T* hess, std::size_t size) {
    const auto [factor, floor] = call_.surrogate[k];
    if (factor == 1.0 && floor == -std::numeric_limits<double>::infinity()) return;
    T floors[tile_rows];
    for (std::size_t i = 0; i < tile_rows; ++i)
      floors[i] = left_out(k, first + i % period) ? T{0} : static_cast<T>(floor * weights_[first + i % period] * call_.scale[k]);
    const Pack<T> by = factor;
    const bool turned = call_.scale[k] < 0.0;
    for_each_pack<T>(size, [&](std::size_t i, auto, auto lanes) PYLOSS_INLINE_LAMBDA {
      const Pack<T> at = lanes.load(hess + i) * by, least = Pack<T>::load(floors + i % tile_rows);
      lanes.store(hess + i, turned ? min(at, least) : max(at, least));
    });
  }

  // Tiles: element (class c, row i) lies at c * tile_rows + i.

  /// Returns what follows the rows in memory, if they lie there as they are.
  const T* transpose(const View& view, std::size_t first, std::size_t count, T* to) {
    const T* const there = view.template side_by_side<T>(first * classes_, count * classes_);
    const T* from = there;
    if (!from) {
      view.read(first * classes_, count * classes_, plain_.data());
      from = plain_.data();
    }
    for (std::size_t c = 0; c < classes_; ++c) {
      for (std::size_t i = 0; i < count; ++i) to[c * tile_rows + i] = from[i * classes_ + c];
      for (std::size_t i = count; i < tile_rows; ++i) to[c * tile_rows + i] = T{0};
    }
    return there ? there + count * classes_ : nullptr;
  }

  const T* transposed_back(const T* tile, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t c = 0; c < classes_; ++c) plain_.data()[i * classes_ + c] = tile[c * tile_rows + i];
    }
    return plain_.data();
  }

  void tile(std::size_t first, std::size_t count, double* sums) {
    const std::size_t size = classes_ * tile_rows;
    for (std::size_t k = 0; k < components_.size(); ++k) {
      next_tile_ = transpose(call_.scores, first, count, scores_.data());
      if (dense(k)) load_tile_targets(k, first, count);
      clear_left_out(k, count);
      if (sums_[k]) {
        sum_tile(k, first, count);
        if (call_.want != Want::value && k > 0) add_component(size);
        continue;
      }
      change_labels(k, 0, count, [&](std::size_t i) { return scores_.data()[own(i)]; });
      if (!transforms_[k].identity()) transforms_[k].apply(scores_.data(), size);
      for_each_changed(k, 0, count, [&](std::size_t i, const LabelScore& to) { scores_.data()[own(i)] = transforms_[k].label(to); });
      dense(k) ? scan_tile<true>(k, count) : scan_tile<false>(k, count);
      if (call_.want == Want::value) continue;
      T* const grad = k == 0 ? grad_.data() : more_grad_.data();
      T* const hess = !second_ ? nullptr : k == 0 ? hess_.data() : more_hess_.data();
      with_constants(dense(k), second_, [&](auto is_dense, auto is_second) { derive_tile<is_dense, is_second>(k, count, grad, hess); });
      if (transforms_[k].bends()) transforms_[k].chain(scores_.data(), grad, hess, size);
      for_each_changed(k, 0, count, [&](std::size_t i, const LabelScore& to) {
        Transform<T>::chain_label(to, grad[own(i)], hess ? hess + own(i) : nullptr);
      });
      if (hess) put_surrogates(k, 0, tile_rows, hess, size);
      if (k > 0) add_component(size);
    }
    reduce(first, 0, count, sums);
    if (call_.want == Want::value) return;
    call_.grad.write(first * classes_, count * classes_, transposed_back(grad_.data(), count), streams_ ? &grad_joined_ : nullptr);
    if (second_)
      call_.hess.write(first * classes_, count * classes_, transposed_back(hess_.data(), count), streams_ ? &hess_joined_ : nullptr);
  }

  /// Where in a tile the label's score of row i lies.
  std::size_t own(std::size_t i) const { return static_cast<std::size_t>(labels_[i]) * tile_rows + i; }

  /// Takes the scores of the labels through the loss's margin, if it has one.
  template <class ScoreOf>
  void change_labels(std::size_t k, std::size_t begin, std::size_t count, ScoreOf&& score_of) {
    if (!entry(k).label_scores) return;
    double x[tile_rows] = {};
    for (std::size_t i = 0; i < count; ++i) {
      if (!left_out(k, begin + i)) x[i] = static_cast<double>(score_of(begin + i));
    }
    entry(k).label_scores(components_[k].parameters.data(), x, count, &label_scores_[k * tile_rows + begin]);
  }

  template <class Use>
  void for_each_changed(std::size_t k, std::size_t begin, std::size_t count, Use&& use) const {
    if (!entry(k).label_scores) return;
    for (std::size_t i = begin; i < begin + count; ++i) {
      if (!left_out(k, i)) use(i, label_scores_[k * tile_rows + i]);
    }
  }

  /// A row as a sum over its elements sees it, from its label's score.
  typename RowSums<T>::Start start_of(std::size_t k, std::size_t i, const T* label_x) {
    Row& row = row_of(k, i) = {};
    if (left_out(k, i)) return {};
    row.scale = weights_[i] * call_.scale[k];
    if (!call_.labels) return {.scale = row.scale};
    return {labels_[i], target_weights_[k].on(static_cast<std::size_t>(labels_[i])), static_cast<double>(*label_x), row.scale};
  }

  void sum_tile(std::size_t k, std::size_t first, std::size_t count) {
    RowSums<T>& sums = *sums_[k];
    std::array<typename RowSums<T>::Start, tile_rows> starts;
    for (std::size_t i = 0; i < count; ++i) {
      starts[i] = start_of(k, i, call_.labels && !left_out(k, i) ? scores_.data() + own(i) : nullptr);
    }
    const bool taught = sums.has_teacher();
    if (taught) transpose(call_.teacher, first, count, teacher_.data());
    const RowBlock<T> block{scores_.data(), {targets_.data()}, taught ? teacher_.data() : nullptr, 0, classes_};
    sums.start_tile({starts.data(), count}, classes_, call_.labels);
    sums.lead(block);
    sums.finish_lead();
    sums.total(block);
    sums.finish_totals();
    sums.label_alone() ? sums.add_label() : sums.add(block);
    sums.finish();
    for (std::size_t i = 0; i < count; ++i) row_of(k, i).value = sums.value(i);
    if (call_.want == Want::value) return;
    T* const grad = k == 0 ? grad_.data() : more_grad_.data();
    T* const hess = !second_ ? nullptr : k == 0 ? hess_.data() : more_hess_.data();
    sums.derive(block, grad, hess);
    if (hess) put_surrogates(k, 0, tile_rows, hess, classes_ * tile_rows);
    for (std::size_t i = 0; i < count; ++i) {
      if (!left_out(k, i)) continue;
      for (std::size_t at = i; at < classes_ * tile_rows; at += tile_rows) {
        grad[at] = T{0};
        if (hess) hess[at] = T{0};
      }
    }
  }

  /// NaN in a row that is left out must not come through.
  void clear_left_out(std::size_t k, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      if (!left_out(k, i)) continue;
      for (std::size_t at = i; at < classes_ * tile_rows; at += tile_rows) {
        scores_.data()[at] = T{0};
        if (dense(k)) targets_.data()[at] = T{0};
      }
    }
  }

  void load_tile_targets(std::size_t k, std::size_t first, std::size_t count) {
    if (!call_.labels) transpose(call_.target, first, count, targets_.data());
    for (std::size_t c = 0; c < classes_; ++c) {
      T* const at = targets_.data() + c * tile_rows;
      if (call_.labels) {
        std::fill_n(at, tile_rows, static_cast<T>(target_weights_[k].base(c)));
      } else {
        const Pack<T> on = target_weights_[k].on(c), base = target_weights_[k].base(c);
        for_each_pack<T>(tile_rows,
                         [&](std::size_t i, auto, auto) PYLOSS_INLINE_LAMBDA { fma(on, Pack<T>::load(at + i), base).store(at + i); });
      }
    }
  }

  template <bool has_target>
  void scan_tile(std::size_t k, std::size_t count) {
    using V = Pack<T>;
    using PerRow = std::array<V, tile_rows / V::lanes>;
    PerRow max, ties;
    max.fill(-static_cast<double>(simd::infinity<T>));
    ties.fill(0.0);
    simd::Sum<T> others, mass, distance;
    const auto for_each_place = [&](std::size_t c, auto&& body) {
      for_each_pack<T>(tile_rows, [&](std::size_t i, auto place, auto) PYLOSS_INLINE_LAMBDA { body(c * tile_rows + i, place); });
    };
    for (std::size_t c = 0; c < classes_; ++c) {
      for_each_place(
          c, [&](std::size_t i, auto place) PYLOSS_INLINE_LAMBDA { max[place] = simd::max(max[place], V::load(scores_.data() + i)); });
    }
    for (std::size_t c = 0; c < classes_; ++c) {
      if (next_tile_) __builtin_prefetch(next_tile_ + c * tile_rows);
      for_each_place(c, [&](std::size_t i, auto place) PYLOSS_INLINE_LAMBDA {
        const V x = V::load(scores_.data() + i), below = below_max(x, max[place], false), e = exp_nonpositive(below);
        const auto largest = x == max[place];
        e.store(exponentials_.data() + i);
        others.add(place, select(largest, 0.0, e));
        ties[place] += select(largest, 1.0, 0.0);
        if constexpr (has_target) {
          const V a = V::load(targets_.data() + i);
          mass.add(place, a);
          distance.add(place, times_or_zero(a, -below));
        }
      });
    }
    T max_of[tile_rows], ties_of[tile_rows];
    double others_of[tile_rows], mass_of[tile_rows], distance_of[tile_rows];
    std::memcpy(max_of, max.data(), sizeof max_of);
    std::memcpy(ties_of, ties.data(), sizeof ties_of);
    others.store(others_of);
    mass.store(mass_of);
    distance.store(distance_of);
    for (std::size_t i = 0; i < count; ++i) {
      if (left_out(k, i)) {
        row_of(k, i) = {};
        continue;
      }
      const std::size_t own = call_.labels ? static_cast<std::size_t>(labels_[i]) * tile_rows + i : i;
      begin_row(k, i, static_cast<double>(max_of[i]), others_of[i] + (static_cast<double>(ties_of[i]) - 1.0), mass_of[i], distance_of[i],
                static_cast<double>(scores_.data()[own]), static_cast<double>(exponentials_.data()[own]));
    }
    finish_rows(k, 0, count);
  }

  template <bool has_target, bool has_second>
  void derive_tile(std::size_t k, std::size_t count, T* grad, T* hess) {
    using V = Pack<T>;
    T lane[8][tile_rows] = {};
    for (std::size_t i = 0; i < count; ++i) {
      const Row& row = row_of(k, i);
      if (left_out(k, i)) continue;
      const auto factors = row.template factors<double>();
      const double fields[] = {factors.max,          factors.inverse_total, factors.pull,        factors.quad,
                               factors.not_p_of_max, factors.scale,         factors.pull_scaled, factors.hess_scale};
      for (std::size_t field = 0; field < 8; ++field) lane[field][i] = static_cast<T>(fields[field]);
    }
    for_each_pack<T>(tile_rows, [&](std::size_t i, auto, auto) PYLOSS_INLINE_LAMBDA {
      const Factors<V> rows = {V::load(lane[0] + i), V::load(lane[1] + i), V::load(lane[2] + i), V::load(lane[3] + i),
                               V::load(lane[4] + i), V::load(lane[5] + i), V::load(lane[6] + i), V::load(lane[7] + i)};
      for (std::size_t at = i; at < classes_ * tile_rows; at += tile_rows) {
        const V a = has_target ? V::load(targets_.data() + at) : V(0.0);
        const auto by_score =
            derivatives<has_target, has_second>(rows, V::load(scores_.data() + at), V::load(exponentials_.data() + at), a);
        by_score.grad.store(grad + at);
        if constexpr (has_second) by_score.hess.store(hess + at);
      }
    });
    if (!call_.labels) return;
    for (std::size_t i = 0; i < count; ++i) {
      const Row& row = row_of(k, i);
      if (left_out(k, i)) continue;
      const std::size_t own = static_cast<std::size_t>(row.label) * tile_rows + i;
      grad[own] = static_cast<T>(row.label_grad());
      if constexpr (has_second) hess[own] = static_cast<T>(row.label_hess());
    }
  }

  // Rows one at a time, block by block. `i` is the row's place among those whose weights and labels are at hand.

  /// A single row may take minutes. Its first block is not asked about: reading the clock waits for what is being loaded.
  bool stopped(std::size_t begin) { return begin != 0 && (is_caller_ ? interrupt_.check() : interrupt_.requested()); }

  bool one_block() const { return classes_ <= row_block<T>; }
  /// Whether a loss's derivatives are the result as they are.
  bool alone() const { return components_.size() == 1 && !transforms_[0].bends() && !second_; }
  bool keeps() const { return one_block() && components_.size() == 1; }

  void long_row(std::size_t row, std::size_t i, double* sums) {
    there_ = call_.scores.template side_by_side<T>(row * classes_, classes_);
    T* const whole = call_.want == Want::grad && alone() ? call_.grad.template side_by_side<T>(row * classes_, classes_) : nullptr;
    bool derived = false;
    for (std::size_t k = 0; k < components_.size(); ++k) {
      if (left_out(k, i)) {
        row_of(k, i) = {};
      } else if (sums_[k]) {
        derived = sum_row(k, row, i, whole);
      } else {
        change_labels(k, i, 1, [&](std::size_t) {
          T x;
          call_.scores.read(row * classes_ + static_cast<std::size_t>(labels_[i]), 1, &x);
          return x;
        });
        scan_row(k, row, i);
      }
    }
    reduce(row, i, 1, sums);
    if (call_.want == Want::value || derived) return;
    if (whole && streams_ && one_block()) {
      derive_block(0, row, i, 0, classes_, grad_.data(), nullptr, false);
      outgoing_.start(whole, grad_.data(), classes_);
      std::swap(grad_, leaving_);
      return;
    }
    for (std::size_t begin = 0; begin < classes_ && !stopped(begin); begin += row_block<T>) {
      const std::size_t size = std::min(row_block<T>, classes_ - begin), first = row * classes_ + begin;
      if (T* const there = alone() && !(sums_[0] && streams_) ? call_.grad.template side_by_side<T>(first, size) : nullptr) {
        derive_block(0, row, i, begin, size, there, nullptr, streams_);
        continue;
      }
      derive_block(0, row, i, begin, size, grad_.data(), second_ ? hess_.data() : nullptr, false);
      for (std::size_t k = 1; k < components_.size(); ++k) {
        derive_block(k, row, i, begin, size, more_grad_.data(), second_ ? more_hess_.data() : nullptr, false);
        add_component(size);
      }
      call_.grad.write(first, size, grad_.data(), streams_ ? &grad_joined_ : nullptr);
      if (second_) call_.hess.write(first, size, hess_.data(), streams_ ? &hess_joined_ : nullptr);
    }
  }

  /// A block of transformed scores: the caller's memory itself where that serves.
  const T* scores(std::size_t k, std::size_t row, std::size_t i, std::size_t begin, std::size_t size) {
    if (there_ && transforms_[k].identity()) return there_ + begin;
    call_.scores.read(row * classes_ + begin, size, scores_.data());
    if (!transforms_[k].identity()) transforms_[k].apply(scores_.data(), size);
    for_each_changed(k, i, 1, [&](std::size_t, const LabelScore& to) {
      const std::size_t label = static_cast<std::size_t>(labels_[i]) - begin;
      if (label < size) scores_.data()[label] = transforms_[k].label(to);
    });
    return scores_.data();
  }

  /// A block of dense target weights.
  Input<T> targets(std::size_t k, std::size_t row, std::size_t begin, std::size_t size) {
    if (!dense(k)) return {};
    if (call_.labels) return target_weights_[k].bases(begin);
    if (target_weights_[k].plain()) {
      if (const T* const as_they_are = call_.target.template side_by_side<T>(row * classes_ + begin, size)) return {as_they_are};
    }
    call_.target.read(row * classes_ + begin, size, targets_.data());
    target_weights_[k].apply(targets_.data(), begin, size);
    return {targets_.data()};
  }

  void scan_row(std::size_t k, std::size_t row, std::size_t i) {
    RunningRow running;
    // Kept exponentials are relative to the row's largest score only if the whole row is one block.
    T* const kept = keeps() ? exponentials_.data() : nullptr;
    for (std::size_t begin = 0; begin < classes_ && !stopped(begin); begin += row_block<T>) {
      const std::size_t size = std::min(row_block<T>, classes_ - begin);
      const T* x = scores(k, row, i, begin, size);
      if (dense(k)) {
        scan<true>(running, x, targets(k, row, begin, size), size, kept, outgoing_);
      } else {
        scan<false>(running, x, Input<T>{}, size, kept, outgoing_);
      }
    }
    double x = 0.0, e = 0.0;
    if (call_.labels) {
      const auto c = static_cast<std::size_t>(labels_[i]);
      x = static_cast<double>(*scores(k, row, i, c, 1));
      e = x == running.max ? 1.0 : kept ? static_cast<double>(kept[c]) : std::exp(x - running.max);
    }
    begin_row(k, i, running.max, others(k, row, i, running), running.mass, running.distance, x, e);
    finish_rows(k, i, 1);
  }

  /// Sum of exp(x - max) over all but one of the largest scores.
  double others(std::size_t k, std::size_t row, std::size_t i, const RunningRow& running) {
    if (!(running.total < 1.0 + 0x1p-20)) return running.total - 1.0;
    double sum = 0.0, ties = 0.0;
    for (std::size_t begin = 0; begin < classes_; begin += row_block<T>) {
      const std::size_t size = std::min(row_block<T>, classes_ - begin);
      scan_others(scores(k, row, i, begin, size), running.max, size, sum, ties);
    }
    return sum + (ties - 1.0);
  }

  RowBlock<T> block_of(std::size_t k, std::size_t row, std::size_t i, std::size_t begin, std::size_t size) {
    const T* teacher = nullptr;
    if (sums_[k]->has_teacher()) {
      teacher = call_.teacher.template side_by_side<T>(row * classes_ + begin, size);
      if (!teacher) {
        call_.teacher.read(row * classes_ + begin, size, teacher_.data());
        teacher = teacher_.data();
      }
    }
    return {scores(k, row, i, begin, size), targets(k, row, begin, size), teacher, begin, size, &outgoing_};
  }

  /// Whether the derivatives are then in their place, `whole`.
  bool sum_row(std::size_t k, std::size_t row, std::size_t i, T* whole) {
    RowSums<T>& sums = *sums_[k];
    const auto for_each_block = [&](auto&& use) {
      for (std::size_t begin = 0; begin < classes_ && !stopped(begin); begin += row_block<T>) {
        RowBlock<T> block = block_of(k, row, i, begin, std::min(row_block<T>, classes_ - begin));
        use(block);
      }
    };
    T label_x = T{0};
    if (call_.labels) call_.scores.read(row * classes_ + static_cast<std::size_t>(labels_[i]), 1, &label_x);
    sums.start_row(start_of(k, i, &label_x), classes_, call_.labels);
    if (sums.has_lead()) for_each_block([&](const RowBlock<T>& block) { sums.lead(block); });
    sums.finish_lead();
    if (sums.has_totals()) for_each_block([&](const RowBlock<T>& block) { sums.total(block); });
    sums.finish_totals();
    const bool derives = whole && sums.local() && !sums.label_alone();
    if (derives && streams_) outgoing_.start(whole);
    if (sums.label_alone()) {
      sums.add_label();
    } else {
      for_each_block([&](RowBlock<T>& block) {
        if (derives) block.derive = streams_ ? Derive::outgoing : Derive::in_place, block.grad = whole + block.begin;
        sums.add(block);
      });
    }
    sums.finish();
    row_of(k, i).value = sums.value(0);
    if (derives && sums.spoilt()) {
      outgoing_.finish();
      simd::stream_fence();
      std::fill_n(whole, classes_, std::numeric_limits<T>::quiet_NaN());
    }
    return derives;
  }

  void derive_block(std::size_t k, std::size_t row, std::size_t i, std::size_t begin, std::size_t size, T* grad, T* hess, bool stream) {
    const Row& at = row_of(k, i);
    if (left_out(k, i)) {
      std::fill_n(grad, size, T{0});
      if (hess) std::fill_n(hess, size, T{0});
      return;
    }
    if (sums_[k]) {
      sums_[k]->derive(block_of(k, row, i, begin, size), grad, hess);
      if (hess) put_surrogates(k, i, 1, hess, size);
      return;
    }
    const T* const x = scores(k, row, i, begin, size);
    const Input<T> target = targets(k, row, begin, size);
    const std::size_t label = call_.labels ? static_cast<std::size_t>(at.label) - begin : size;
    with_constants(dense(k), hess != nullptr, [&](auto is_dense, auto is_second) {
      const auto part = [&](std::size_t from, std::size_t to) {
        derive<is_dense, is_second>(at, x, keeps() ? exponentials_.data() : nullptr, target, from, to, grad, hess, stream);
      };
      if (label >= size) return part(0, size);
      part(0, label);
      part(label + 1, size);
      grad[label] = static_cast<T>(at.label_grad());
      if (hess) hess[label] = static_cast<T>(at.label_hess());
    });
    if (transforms_[k].bends()) transforms_[k].chain(x, grad, hess, size);
    if (label < size) {
      for_each_changed(
          k, i, 1, [&](std::size_t, const LabelScore& to) { Transform<T>::chain_label(to, grad[label], hess ? hess + label : nullptr); });
    }
    if (hess) put_surrogates(k, i, 1, hess, size);
  }

  std::span<const RowComponent> components_;
  const RowwiseCall& call_;
  Interrupt& interrupt_;
  bool is_caller_;
  std::span<const RowEntry> table_ = rowwise_table();
  std::size_t classes_;
  bool tiled_, second_, streams_;
  std::vector<Transform<T>> transforms_;
  std::vector<TargetWeights<T>> target_weights_;
  std::vector<Row> rows_;     // of each component, for the rows whose weights and labels are at hand
  std::vector<double> lost_;  // of each component's sum
  double weights_[tile_rows];
  std::int64_t labels_[tile_rows];
  std::vector<std::unique_ptr<RowSums<T>>> sums_;  // of each component; null where it is of the softmax
  std::vector<LabelScore> label_scores_;           // of each component, if any has a margin
  Outgoing<T> outgoing_;
  Joined<T> grad_joined_, hess_joined_;
  const T* next_tile_ = nullptr;  // fetched while a tile is being worked on
  const T* there_ = nullptr;      // the row that is being worked on, if its scores lie side by side
  Buffer<T> plain_, scores_, targets_, exponentials_, teacher_, grad_, leaving_, hess_, more_grad_, more_hess_;
};

template <class T>
bool run(std::span<const RowComponent> components, const RowwiseCall& call, Interrupt& interrupt, std::span<double> totals) {
  const std::size_t rows_per_chunk = std::max<std::size_t>(1, chunk_scores / std::max<std::size_t>(call.classes, 1));
  const std::size_t chunks = divide_up(call.rows, rows_per_chunk), terms = components.size();
  const std::size_t threads = std::clamp<std::size_t>(chunks, 1, static_cast<std::size_t>(std::max(call.threads, 1)));
  std::vector<Worker<T>> workers;
  workers.reserve(threads);
  for (std::size_t i = 0; i < threads; ++i) workers.emplace_back(components, call, interrupt, i == 0);
  std::vector<double> sums(chunks * terms);
  const bool done = for_each_chunk(chunks, static_cast<int>(threads), interrupt, [&](std::size_t chunk, int thread) {
    const std::size_t end = std::min((chunk + 1) * rows_per_chunk, call.rows);
    workers[static_cast<std::size_t>(thread)].rows(chunk * rows_per_chunk, end, &sums[chunk * terms]);
  });
  for (std::size_t i = 0; i < sums.size(); ++i) totals[i % terms] += sums[i];
  return done;
}

template <class Loss>
RowEntry entry_of() {
  RowEntry entry{Loss::name, parameters_of<Loss>};
  entry.terms = [](const double* parameters, const SoftmaxRow<Rows>& rows) { return with_parameters<Loss>(parameters)(rows); };
  if constexpr (requires { typename Loss::Label; }) {
    entry.label_scores = [](const double* parameters, const double* x, std::size_t count, LabelScore* to) {
      const typename Loss::Label label(parameters);
      for (std::size_t i = 0; i < count; ++i) to[i] = label(x[i]);
    };
  }
  return entry;
}

template <class... Losses>
std::vector<RowEntry> entries_of(List<Losses...>) {
  std::vector<RowEntry> table{entry_of<Losses>()...};
  for (const RowSumsEntry& sums : row_sums_table()) {
    table.push_back({sums.name, sums.parameters});
    table.back().sums = &sums;
  }
  return table;
}

}  // namespace

std::span<const RowEntry> rowwise_table() {
  static const std::vector<RowEntry> table = entries_of(Rowwise{});
  return table;
}

bool run_rowwise(std::span<const RowComponent> components, const RowwiseCall& call, Interrupt& interrupt, std::span<double> totals) {
  return call.float64 ? run<double>(components, call, interrupt, totals) : run<float>(components, call, interrupt, totals);
}

Checked check_labels(const View& labels, std::size_t classes, const RowComponent& component, const View& weight, int threads,
                     Interrupt& interrupt) {
  constexpr std::size_t chunk_size = 32768, block_size = 1024;
  const std::size_t chunks = divide_up(labels.size(), chunk_size);
  std::vector<Checked> found(chunks);
  for_each_chunk(chunks, threads, interrupt, [&](std::size_t chunk, int) {
    std::int64_t label[block_size];
    double weights[block_size];
    const std::size_t end = std::min((chunk + 1) * chunk_size, labels.size());
    for (std::size_t begin = chunk * chunk_size; begin < end; begin += block_size) {
      const std::size_t size = std::min(block_size, end - begin);
      labels.read(begin, size, label);
      if (weight) weight.read(begin, size, weights);
      for (std::size_t i = 0; i < size; ++i) {
        if (component.ignored == label[i]) continue;
        const auto c = static_cast<std::size_t>(label[i]);
        if (c >= classes) {
          found[chunk].first_bad = begin + i;
          return;
        }
        found[chunk].total += (weight ? weights[i] : 1.0) * (component.class_weight.empty() ? 1.0 : component.class_weight[c]);
      }
    }
  });
  Checked result;
  for (const Checked& chunk : found) {
    result.total += chunk.total;
    if (!result.first_bad) result.first_bad = chunk.first_bad;
  }
  return result;
}

}  // namespace pyloss
