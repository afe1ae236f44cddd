// One row of a batch against all columns: what losses of embeddings are written in.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "../parallel.hpp"
#include "../simd/lanes.hpp"
#include "../simd/math.hpp"
#include "tile.hpp"

namespace pyloss {

/// The metrics that an inner product gives.
enum class Form { euclidean, sqeuclidean, half_square, arc, inner };

/// The loss of one anchor, and how much it counts in a mean.
struct AnchorTerm {
  double value, count;
};

/// log sum exp = top + rest, kept apart so that differences from it lose nothing.
struct LogSum {
  double top, rest;

  double value() const { return top + rest; }
  bool empty() const { return top == -std::numeric_limits<double>::infinity(); }
  /// exp(exponent - value()): a share of the sum.
  template <class T>
  PYLOSS_INLINE simd::Pack<T> share(simd::Pack<T> exponent) const {
    return simd::exp((exponent - simd::Pack<T>(top)) - simd::Pack<T>(rest));
  }
};

inline double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }
inline double sigmoid(double x) { return x < 0.0 ? std::exp(x) / (1.0 + std::exp(x)) : 1.0 / (1.0 + std::exp(-x)); }

/// What pairs of an anchor look like, a pack at a time. Neither positive nor negative: the anchor itself and what is behind the last one.
template <class T>
struct Pairs {
  simd::Pack<T> value;      // distance or similarity
  simd::Pack<T> statistic;  // of the other's row, for losses that have one
  simd::Mask<T> positive, negative;

  simd::Mask<T> either() const { return positive | negative; }
};

/// A pair by itself.
template <class T>
struct Other {
  T value;
  std::size_t index;
};

/// Memory of a thread for its anchors, and whether it shall leave: to be asked by what takes long for a single anchor.
template <class T>
struct AnchorScratch {
  Interrupt* interrupt = nullptr;
  bool calling = false;  // this is the thread of the caller

  bool cancelled() { return calling ? interrupt->check() : interrupt->requested(); }

  std::vector<Other<T>> positives;
  std::vector<double> counts, sums, thresholds;
  std::vector<T> slopes;
  std::vector<double> pulls;
};

/// The pairs of row `index`. What is done with them comes in two steps: read them as often as needed, then leave, by derive() or
/// one of its kin, the derivative of the loss by each value in its place.
template <class T>
class Anchor {
 public:
  using V = simd::Pack<T>;

  /// `labels` has NaN at the anchor itself and behind the last column; `size` is a multiple of a group.
  Anchor(std::size_t at, T* values, const T* labels, const T* statistics, std::size_t size, T label, Form form, double scale,
         AnchorScratch<T>& scratch)
      : index(at),
        values_(values),
        labels_(labels),
        statistics_(statistics),
        size_(size),
        label_(label),
        form_(form),
        scale_(scale),
        scratch_(scratch) {}

  std::size_t index;
  double positives = 0, negatives = 0;  // how many

  /// Calls body(index of the first, its place in its group, pairs) for all packs.
  template <class Body>
  PYLOSS_INLINE void for_each_pair(Body&& body) const {
    const V own = V::all(label_);
    for (std::size_t begin = 0; begin < size_; begin += simd::group<T>) {
      unrolled<simd::group<T> / V::lanes>([&](auto place) PYLOSS_INLINE_LAMBDA {
        const std::size_t j = begin + place * V::lanes;
        const V label = V::load(labels_ + j);
        body(j, place,
             Pairs<T>{V::load(values_ + j), statistics_ ? V::load(statistics_ + j) : V(0.0), label == own, (label < own) | (label > own)});
      });
    }
  }

  /// sum of of(pairs) over the pairs that are either positive or negative.
  template <class Of>
  double sum(Of&& of) const {
    simd::Sum<T> total;
    for_each_pair([&](std::size_t, auto place, const Pairs<T>& pairs)
                      PYLOSS_INLINE_LAMBDA { total.add(place, simd::select(pairs.either(), of(pairs), 0.0)); });
    return total.total();
  }

  /// log of the sum of exp of(pairs), over pairs that are in(pairs).
  template <class In, class Of>
  LogSum log_sum_exp(In&& in, Of&& of) const {
    constexpr double none = -std::numeric_limits<double>::infinity();
    V tops[simd::group<T> / V::lanes];
    for (V& each : tops) each = none;
    simd::Mask<T> nan = {};
    for_each_pair([&](std::size_t, auto place, const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      const V exponent = simd::select(in(pairs), of(pairs), none);
      nan = nan | (exponent != exponent);
      tops[place] = simd::max(tops[place], exponent);
    });
    if (bits_of(nan)) return {std::numeric_limits<double>::quiet_NaN(), 0.0};
    T lane[simd::group<T>];
    for (std::size_t p = 0; p < std::size(tops); ++p) tops[p].store(lane + p * V::lanes);
    const double top = static_cast<double>(*std::max_element(std::begin(lane), std::end(lane)));
    if (top == none) return {none, 0.0};
    simd::Sum<T> total;
    for_each_pair([&](std::size_t, auto place, const Pairs<T>& pairs)
                      PYLOSS_INLINE_LAMBDA { total.add(place, simd::exp(simd::select(in(pairs), of(pairs) - V(top), none))); });
    return {top, std::log(total.total())};
  }

  /// The loss's derivative by each value is of(pairs), 0 for what is no pair.
  template <class Of>
  void derive(Of&& of) {
    for_each_pair([&](std::size_t j, auto, const Pairs<T>& pairs)
                      PYLOSS_INLINE_LAMBDA { slope(pairs.value, simd::select(pairs.either(), of(pairs), 0.0)).store(values_ + j); });
  }
  /// The same, of(index of the first, pairs).
  template <class Of>
  void derive_at(Of&& of) {
    for_each_pair([&](std::size_t j, auto, const Pairs<T>& pairs)
                      PYLOSS_INLINE_LAMBDA { slope(pairs.value, simd::select(pairs.either(), of(j, pairs), 0.0)).store(values_ + j); });
  }
  /// This anchor does not count.
  AnchorTerm nothing(double count = 0.0) {
    std::fill(values_, values_ + size_, T{0});
    return {0.0, count};
  }

  /// The positives, by rising value, then index; NaN last.
  std::span<Other<T>> sorted_positives() {
    auto& found = scratch_.positives;
    found.clear();
    for_each_pair([&](std::size_t j, auto, const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      for (unsigned bits = bits_of(pairs.positive); bits; bits &= bits - 1) {
        const std::size_t at = j + static_cast<std::size_t>(std::countr_zero(bits));
        found.push_back({values_[at], at});
      }
    });
    std::sort(found.begin(), found.end(), [](const Other<T>& a, const Other<T>& b) {
      const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
      if (a_nan != b_nan) return b_nan;
      return a.value < b.value || (!(b.value < a.value) && a.index < b.index);
    });
    return found;
  }
  /// Calls body(index, value) for each negative; then its derivative is what body returned.
  template <class Body>
  void derive_negatives(Body&& body) {
    const V own = V::all(label_);
    for (std::size_t j = 0; j < size_; j += V::lanes) {
      const V label = V::load(labels_ + j);
      T result[V::lanes] = {};
      const V value = V::load(values_ + j);
      for (unsigned bits = bits_of((label < own) | (label > own)); bits; bits &= bits - 1) {
        const std::size_t lane = static_cast<std::size_t>(std::countr_zero(bits));
        result[lane] = body(j + lane, values_[j + lane]);
      }
      slope(value, V::load(result)).store(values_ + j);
    }
  }
  /// The derivative by the value of one positive, after derive() or derive_negatives().
  void derive_one(const Other<T>& other, double derivative) {
    T lanes[V::lanes];
    slope(V::all(other.value), V::all(static_cast<T>(derivative))).store(lanes);
    values_[other.index] = lanes[0];
  }
  /// Calls body(index, value) for each negative.
  template <class Body>
  void for_each_negative(Body&& body) const {
    for_each_pair([&](std::size_t j, auto, const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      for (unsigned bits = bits_of(pairs.negative); bits; bits &= bits - 1) {
        const std::size_t at = j + static_cast<std::size_t>(std::countr_zero(bits));
        body(at, values_[at]);
      }
    });
  }
  std::size_t size() const { return size_; }
  AnchorScratch<T>& scratch() { return scratch_; }

 private:
  /// By what (x - y), or y for an inner product, is multiplied to be the gradient by x.
  PYLOSS_INLINE V slope(V value, V derivative) const {
    switch (form_) {
      // A distance whose inverse may overflow counts as 0.
      case Form::euclidean:
        return simd::select(value < 4.0 * static_cast<double>(std::numeric_limits<T>::min()), 0.0, derivative * V(scale_) / value);
      case Form::sqeuclidean: return derivative * V(2.0 * scale_);
      default: return derivative * V(scale_);
    }
  }

  T* values_;
  const T* labels_;
  const T* statistics_;
  std::size_t size_;
  T label_;
  Form form_;
  double scale_;
  AnchorScratch<T>& scratch_;
};

}  // namespace pyloss
