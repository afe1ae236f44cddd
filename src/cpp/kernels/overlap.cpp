#include "overlap.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "../losses/registry.hpp"
#include "buffer.hpp"

namespace pyloss {

namespace {

/// Elements that one thread takes at a time, and those that pass through scratch, whatever the number of threads.
constexpr std::size_t chunk_size = 32768, block_size = 4096;

/// Predictions of a sample of which much stays in the cache beside its targets until the gradient is written.
constexpr std::size_t cached_bytes = std::size_t{1} << 20;

/// More classes than this are walked row by row.
constexpr std::size_t few_classes = 128;

/// After so many elements a class stands in the same lane again.
template <class T>
std::size_t period_of(std::size_t classes) {
  if (classes == 1) return 16 * simd::group<T>;
  return classes <= few_classes ? std::lcm(classes, simd::group<T>) : classes;
}

template <std::size_t Half>
PYLOSS_INLINE simd::Pack<double> widened(simd::Pack<float> a) {
  if constexpr (Half == 0) {
    return simd::widen_low(a.v);
  } else {
    return simd::widen_high(a.v);
  }
}
template <std::size_t>
PYLOSS_INLINE simd::Pack<double> widened(simd::Pack<double> a) {
  return a;
}

/// Sums in lanes of float64: no product of two float32 is rounded.
struct LaneSums {
  using W = simd::Pack<double>;
  W hit = 0.0, excess = 0.0, missing = 0.0;

  template <bool Squared>
  PYLOSS_INLINE void add(W p, W rest, W t) {
    hit = fma(p, t, hit);
    excess = fma(p, Squared ? p - t : 1.0 - t, excess);
    missing = fma(Squared ? t - p : rest, t, missing);
  }
};

/// Calls use(half, p, 1 - p, t) for the parts of a pack, widened to float64.
template <class T, bool Logits, class Lanes, class Use>
PYLOSS_INLINE void for_each_half(const T* pred, const T* target, Lanes lanes, Use&& use) {
  using V = simd::Pack<T>;
  V p = lanes.load(pred), rest = p;
  const V t = lanes.load(target);
  if constexpr (Logits) {
    const auto at = probability_of_logit(p);
    p = lanes.or_zero(at.p), rest = at.rest;
  }
  [&]<std::size_t... Half>(std::index_sequence<Half...>) PYLOSS_INLINE_LAMBDA {
    (use(std::integral_constant<std::size_t, Half>{}, widened<Half>(p), Logits ? widened<Half>(rest) : 1.0 - widened<Half>(p),
         widened<Half>(t)),
     ...);
  }(std::make_index_sequence<sizeof(double) / sizeof(T)>{});
}

/// Adds the sums of a block of one class.
template <class T, bool Logits, bool Squared>
void add_plain(const T* pred, const T* target, std::size_t size, Overlap& to) {
  constexpr std::size_t halves = sizeof(double) / sizeof(T), lanes_of_sum = simd::Pack<double>::lanes;
  LaneSums sums[simd::group<T> / lanes_of_sum];
  simd::for_each_pack<T>(size, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
    if constexpr (place == 0) simd::prefetch_ahead(pred + i), simd::prefetch_ahead(target + i);
    for_each_half<T, Logits>(pred + i, target + i, lanes, [&](auto half, auto p, auto rest, auto t) PYLOSS_INLINE_LAMBDA {
      sums[decltype(place)::value * halves + decltype(half)::value].template add<Squared>(p, rest, t);
    });
  });
  const auto total = [&](simd::Pack<double> LaneSums::* sum) {
    double lanes[simd::group<T>];
    for (std::size_t i = 0; i < simd::group<T> / lanes_of_sum; ++i) (sums[i].*sum).store(lanes + i * lanes_of_sum);
    return simd::Sum<T>::merge(lanes);
  };
  to.hit += total(&LaneSums::hit);
  to.excess += total(&LaneSums::excess);
  to.missing += total(&LaneSums::missing);
}

/// Adds the sums of a block of several classes; `sums` are lanes of one period for each of the three.
template <class T, bool Logits, bool Squared>
void add_classes(const T* pred, const T* target, std::size_t size, std::size_t classes, std::size_t period, double* sums, Overlap* to) {
  using W = simd::Pack<double>;
  std::fill_n(sums, 3 * period, 0.0);
  for (std::size_t begin = 0; begin < size; begin += period) {
    simd::for_each_pack<T>(std::min(period, size - begin), [&](std::size_t k, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
      if constexpr (place == 0) simd::prefetch_ahead(pred + begin + k), simd::prefetch_ahead(target + begin + k);
      for_each_half<T, Logits>(pred + begin + k, target + begin + k, lanes, [&](auto half, W p, W rest, W t) PYLOSS_INLINE_LAMBDA {
        const std::size_t at = k + decltype(half)::value * W::lanes;
        double *const hit = sums + at, *const excess = hit + period, *const missing = excess + period;
        // The last lanes of a partial pack lie behind the period.
        if constexpr (decltype(lanes)::partial) {
          double part[3][W::lanes];
          LaneSums own;
          own.template add<Squared>(p, rest, t);
          own.hit.store(part[0]), own.excess.store(part[1]), own.missing.store(part[2]);
          for (std::size_t i = 0; i < W::lanes && decltype(half)::value * W::lanes + i < lanes.count; ++i)
            hit[i] += part[0][i], excess[i] += part[1][i], missing[i] += part[2][i];
        } else {
          LaneSums own{W::load(hit), W::load(excess), W::load(missing)};
          own.template add<Squared>(p, rest, t);
          own.hit.store(hit), own.excess.store(excess), own.missing.store(missing);
        }
      });
    });
  }
  for (std::size_t k = 0, c = 0; k < period; ++k) {
    to[c].hit += sums[k], to[c].excess += sums[period + k], to[c].missing += sums[2 * period + k];
    c = c + 1 == classes ? 0 : c + 1;
  }
}

/// By what an element's derivatives are multiplied: that of missing and hit where the target is 1, that of excess where it is 0.
struct Slope {
  double beside = 0.0, inside = 0.0;
};

/// Derivatives of a block, from the slopes of one period.
template <class T, bool Logits, bool Squared>
void find_gradient(const T* pred, const T* target, std::size_t size, std::size_t period, const T* beside, const T* inside, bool stream,
                   T* to) {
  using V = simd::Pack<T>;
  for (std::size_t begin = 0; begin < size; begin += period) {
    simd::for_each_pack<T>(std::min(period, size - begin), [&](std::size_t k, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
      const std::size_t i = begin + k;
      if constexpr (place == 0) {
        if constexpr (Logits || Squared) simd::prefetch_ahead(pred + i);
        simd::prefetch_ahead(target + i);
      }
      const V x = lanes.load(pred + i), t = lanes.load(target + i), off = lanes.load(beside + k), on = lanes.load(inside + k);
      const auto at = Logits ? probability_of_logit(x) : probability(x);
      V grad = fma(Squared ? 2.0 * at.p - t : 1.0 - t, off, t * on);
      if constexpr (Logits) grad *= at.slope;
      // What is left out may be NaN.
      grad = select((off == 0.0) & (on == 0.0), 0.0, grad);
      if (stream) {
        lanes.stream(to + i, grad);
      } else {
        lanes.store(to + i, grad);
      }
    });
  }
}

template <class T>
struct Kernels {
  void (*add_plain)(const T*, const T*, std::size_t, Overlap&);
  void (*add_classes)(const T*, const T*, std::size_t, std::size_t, std::size_t, double*, Overlap*);
  void (*find_gradient)(const T*, const T*, std::size_t, std::size_t, const T*, const T*, bool, T*);
};

template <class T, bool Logits, bool Squared>
inline constexpr Kernels<T> kernels{add_plain<T, Logits, Squared>, add_classes<T, Logits, Squared>, find_gradient<T, Logits, Squared>};

template <class T>
Kernels<T> kernels_of(bool logits, bool squared) {
  if (logits) return squared ? kernels<T, true, true> : kernels<T, true, false>;
  return squared ? kernels<T, false, true> : kernels<T, false, false>;
}

template <class T>
class Run {
 public:
  Run(std::span<const OverlapComponent> components, const OverlapCall& call, Interrupt& interrupt)
      : components_(components),
        call_(call),
        interrupt_(interrupt),
        // Samples that are summed up and weigh alike are one.
        together_(call.together && call.weight),
        samples_(call.together && !call.weight ? 1 : call.samples),
        row_((call.together && !call.weight ? call.samples : 1) * call.elements * call.classes),
        period_(period_of<T>(call.classes)),
        block_(period_ * std::max<std::size_t>(1, block_size / period_)),
        part_(std::max(chunk_size, 64 * call.classes) / call.classes * call.classes),
        kernels_(kernels_of<T>(call.logits, call.squared)) {
    const std::size_t threads = static_cast<std::size_t>(std::max(call.threads, 1));
    for (std::size_t i = 0; i < threads; ++i) scratch_.emplace_back();
    if (!call.weight) return;
    // Before anything is written: results may go where the weights are.
    weights_.resize(call.weight.size());
    call.weight.read(0, weights_.size(), weights_.data());
  }

  /// Both ways give the same bits where a sample is longer than a part.
  bool run(std::span<double> totals) {
    const bool enough = row_ <= part_ || samples_ >= 4 * scratch_.size();
    return !together_ && enough && row_ * sizeof(T) <= cached_bytes ? by_samples(totals) : by_parts(totals);
  }

 private:
  /// What a thread needs of its own.
  struct Scratch {
    Buffer<T> pred, target, grad, beside, inside;
    std::vector<double> lanes, values;
    std::vector<Overlap> sums, whole;  // of a part of a sample, and of all of it
    std::vector<Slope> slopes;
  };

  Scratch& scratch(int thread) {
    Scratch& own = scratch_[static_cast<std::size_t>(thread)];
    if (own.sums.empty()) {
      const std::size_t classes = call_.classes, most = std::min(block_, row_);
      own.pred = Buffer<T>(most), own.target = Buffer<T>(most), own.grad = Buffer<T>(most);
      own.beside = Buffer<T>(period_), own.inside = Buffer<T>(period_);
      if (classes > 1) own.lanes.resize(3 * period_);
      own.values.resize(classes);
      own.sums.resize(classes), own.whole.resize(classes), own.slopes.resize(classes);
    }
    return own;
  }

  const double* weights(std::size_t sample) const { return weights_.empty() ? nullptr : weights_.data() + sample * call_.classes; }

  bool excluded(std::size_t sample) const {
    const double* const w = weights(sample);
    return w && std::all_of(w, w + call_.classes, [](double each) { return each == 0.0; });
  }

  static void add(const Overlap& sums, double weight, Overlap& to) {
    to.hit += weight * sums.hit, to.excess += weight * sums.excess, to.missing += weight * sums.missing;
  }

  static const T* read(const View& view, std::size_t begin, std::size_t count, T* through) {
    if (const T* const there = view.side_by_side<T>(begin, count)) return there;
    view.read(begin, count, through);
    return through;
  }

  /// Sums over elements [begin, end), whose first is of the first class.
  void find_sums(std::size_t begin, std::size_t end, Scratch& own) const {
    std::fill(own.sums.begin(), own.sums.end(), Overlap{});
    for (; begin < end; begin += block_) {
      const std::size_t count = std::min(block_, end - begin);
      const T *const pred = read(call_.pred, begin, count, own.pred.data()), *const target =
                                                                                 read(call_.target, begin, count, own.target.data());
      if (call_.classes == 1) {
        kernels_.add_plain(pred, target, count, own.sums[0]);
      } else {
        kernels_.add_classes(pred, target, count, call_.classes, period_, own.lanes.data(), own.sums.data());
      }
    }
  }

  /// The losses of sums, added to `totals`, and the slopes of their weighted sum.
  void find_terms(const Overlap* sums, const double* weights, double* totals, double* values, Slope* slopes) const {
    for (std::size_t c = 0; c < call_.classes; ++c) {
      values[c] = 0.0, slopes[c] = {};
      const double weight = weights ? weights[c] : 1.0;
      if (weight == 0.0) continue;
      for (std::size_t i = 0; i < components_.size(); ++i) {
        const OverlapTerms at = overlap_table()[components_[i].entry].terms(components_[i].parameters.data(), sums[c]);
        const double scale = weight * call_.scale[i];
        totals[i] += weight * at.value;
        values[c] += scale * at.value;
        slopes[c].beside += scale * at.by_excess, slopes[c].inside += scale * (at.by_hit - at.by_missing);
      }
    }
  }

  /// Gradients of elements [begin, end), whose first is of the first class.
  void write_gradients(std::size_t begin, std::size_t end, const Slope* slopes, const double* weights, Scratch& own) const {
    constexpr double most = static_cast<double>(std::numeric_limits<T>::max());
    for (std::size_t k = 0, c = 0; k < std::min(period_, end - begin); ++k) {
      const double weight = weights ? weights[c] : 1.0;
      // Infinite ones would be NaN times 0.
      const auto narrow = [&](double slope) { return weight == 0.0 ? T{0} : static_cast<T>(std::clamp(weight * slope, -most, most)); };
      own.beside.data()[k] = narrow(slopes[c].beside), own.inside.data()[k] = narrow(slopes[c].inside);
      c = c + 1 == call_.classes ? 0 : c + 1;
    }
    const bool large = call_.grad.size() * sizeof(T) >= stream_from;
    Joined<T> joined;
    for (; begin < end; begin += block_) {
      const std::size_t count = std::min(block_, end - begin);
      const T *const pred = read(call_.pred, begin, count, own.pred.data()), *const target =
                                                                                 read(call_.target, begin, count, own.target.data());
      T* const there = call_.grad.side_by_side<T>(begin, count);
      const bool stream =
          large && there && period_ % simd::group<T> == 0 && reinterpret_cast<std::uintptr_t>(there) % simd::group_bytes == 0;
      const bool direct = there && (stream || !large);
      kernels_.find_gradient(pred, target, count, period_, own.beside.data(), own.inside.data(), stream, direct ? there : own.grad.data());
      if (!direct) call_.grad.write(begin, count, own.grad.data(), large ? &joined : nullptr);
    }
    joined.finish();
  }

  void write_values(std::size_t row, const double* values) const {
    if (call_.value) call_.value.write(row * call_.classes, call_.classes, values);
  }

  /// Every sample is summed up and differentiated at once, while it is in the cache.
  bool by_samples(std::span<double> totals) {
    const std::size_t each = std::max<std::size_t>(1, chunk_size / std::max<std::size_t>(1, row_)), units = divide_up(samples_, each);
    std::vector<double> totals_of_units(units * components_.size());
    const bool done = for_each_chunk(units, call_.threads, interrupt_, [&](std::size_t unit, int thread) {
      Scratch& own = scratch(thread);
      for (std::size_t n = unit * each; n < std::min(samples_, (unit + 1) * each); ++n) {
        const std::size_t begin = n * row_, parts = divide_up(row_, part_);
        std::fill(own.whole.begin(), own.whole.end(), Overlap{});
        for (std::size_t part = 0; part < parts && !excluded(n); ++part) {
          find_sums(begin + part * part_, begin + std::min(row_, (part + 1) * part_), own);
          for (std::size_t c = 0; c < call_.classes; ++c) add(own.sums[c], 1.0, own.whole[c]);
        }
        find_terms(own.whole.data(), weights(n), totals_of_units.data() + unit * components_.size(), own.values.data(), own.slopes.data());
        // What was read last is still in the cache.
        for (std::size_t part = parts; call_.grad && part-- > 0;)
          write_gradients(begin + part * part_, begin + std::min(row_, (part + 1) * part_), own.slopes.data(), nullptr, own);
        write_values(n, own.values.data());
      }
    });
    for (std::size_t i = 0; i < totals_of_units.size(); ++i) totals[i % components_.size()] += totals_of_units[i];
    return done;
  }

  /// First all sums, by parts of samples, then the gradient.
  bool by_parts(std::span<double> totals) {
    const std::size_t classes = call_.classes;
    // A unit is a part of one sample, or several short samples that are summed up.
    const std::size_t parts = std::max<std::size_t>(1, divide_up(row_, part_));
    const std::size_t each = together_ ? std::max<std::size_t>(1, part_ / std::max<std::size_t>(1, row_)) : 1;
    const std::size_t units = divide_up(samples_, each) * parts, masks = together_ ? 1 : samples_;
    const auto for_each_range = [&](std::size_t unit, auto&& use) {
      const std::size_t begin = unit % parts * part_, end = std::min(row_, begin + part_);
      for (std::size_t n = unit / parts * each; n < std::min(samples_, (unit / parts + 1) * each); ++n)
        use(n, n * row_ + begin, n * row_ + end);
    };

    std::vector<Overlap> sums(units * classes);
    bool done = for_each_chunk(units, call_.threads, interrupt_, [&](std::size_t unit, int thread) {
      Scratch& own = scratch(thread);
      for_each_range(unit, [&](std::size_t n, std::size_t begin, std::size_t end) {
        if (excluded(n)) return;
        find_sums(begin, end, own);
        for (std::size_t c = 0; c < classes; ++c) {
          const double w = together_ ? weights(n)[c] : 1.0;
          if (w == 0.0) continue;
          add(own.sums[c], w, sums[unit * classes + c]);
        }
      });
    });
    if (!done) return false;

    std::vector<Slope> slopes(masks * classes);
    std::vector<double> values(classes), of_mask(components_.size());
    for (std::size_t mask = 0; mask < masks; ++mask) {
      const std::size_t begin = mask * parts, end = together_ ? units : begin + parts;
      std::vector<Overlap> total(classes);
      for (std::size_t i = begin * classes; i < end * classes; ++i) add(sums[i], 1.0, total[i % classes]);
      std::fill(of_mask.begin(), of_mask.end(), 0.0);
      find_terms(total.data(), together_ ? nullptr : weights(mask), of_mask.data(), values.data(), slopes.data() + mask * classes);
      for (std::size_t i = 0; i < of_mask.size(); ++i) totals[i] += of_mask[i];
      write_values(mask, values.data());
    }
    if (!call_.grad) return true;
    return for_each_chunk(units, call_.threads, interrupt_, [&](std::size_t unit, int thread) {
      for_each_range(unit, [&](std::size_t n, std::size_t begin, std::size_t end) {
        write_gradients(begin, end, slopes.data() + (together_ ? 0 : n) * classes, together_ ? weights(n) : nullptr, scratch(thread));
      });
    });
  }

  std::span<const OverlapComponent> components_;
  const OverlapCall& call_;
  Interrupt& interrupt_;
  bool together_;
  std::size_t samples_, row_, period_, block_, part_;
  Kernels<T> kernels_;
  std::vector<Scratch> scratch_;
  std::vector<double> weights_;  // of every sample and class
};

template <class T>
bool run(std::span<const OverlapComponent> components, const OverlapCall& call, Interrupt& interrupt, std::span<double> totals) {
  return Run<T>(components, call, interrupt).run(totals);
}

template <class Loss>
OverlapTerms terms_of(const double* parameters, const Overlap& sums) {
  return with_parameters<Loss>(parameters)(sums);
}

template <class... Losses>
std::span<const OverlapEntry> table_of(List<Losses...>) {
  static constexpr std::array<OverlapEntry, sizeof...(Losses)> table{
      OverlapEntry{Losses::name, parameters_of<Losses>, terms_of<Losses>}...};
  return table;
}

}  // namespace

std::span<const OverlapEntry> overlap_table() { return table_of(OfOverlaps{}); }

bool run_overlap(std::span<const OverlapComponent> components, const OverlapCall& call, Interrupt& interrupt, std::span<double> totals) {
  if (call.classes == 0) return true;
  return call.float64 ? run<double>(components, call, interrupt, totals) : run<float>(components, call, interrupt, totals);
}

}  // namespace pyloss
