#include "quantiles.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "../losses/registry.hpp"
#include "blocks.hpp"
#include "buffer.hpp"

namespace pyloss {

namespace {

using simd::for_each_pack;
using simd::Pack;
using Doubles = Pack<double>;

/// Pairs of a chunk, about: rows with fewer go several at a time, those with more by parts of their predictions.
constexpr std::size_t chunk_pairs = std::size_t{1} << 16;
/// Most and fewest predictions of such a part: their sums stay in the cache, and reading the samples again costs little.
constexpr std::size_t most_of_part = 1024, least_of_part = 64;
/// Samples that are read at a time.
constexpr std::size_t sample_block = 2048;
/// Terms that a lane adds up in T: short enough for float32, and a run of equal numbers of float64 rounds but so often in one direction.
constexpr std::size_t few = 16;

/// Sums of a pack's lanes in float64; of float64, with what they have lost to rounding.
template <class T>
struct LaneSums {
  static constexpr std::size_t size = 2 * Doubles::lanes;
  Doubles first, second;

  PYLOSS_INLINE static LaneSums load(const double* from) { return {Doubles::load(from), Doubles::load(from + Doubles::lanes)}; }
  PYLOSS_INLINE void store(double* to) const {
    first.store(to);
    second.store(to + Doubles::lanes);
  }
  PYLOSS_INLINE void add(Pack<T> a) {
    if constexpr (sizeof(T) == 4) {
      first += Doubles(simd::widen_low(a.v));
      second += Doubles(simd::widen_high(a.v));
    } else {
      const auto [sum, lost] = simd::sum_in_two(first, a);
      first = sum;
      second += lost;
    }
  }
  /// The sums of some lanes, of what store() has left.
  static PYLOSS_INLINE Doubles totals(const double* from) {
    const Doubles sum = Doubles::load(from);
    if constexpr (sizeof(T) == 4) return sum;
    const Doubles lost = Doubles::load(from + Doubles::lanes);
    return sum + select(abs(lost) < simd::infinity<double>, lost, 0.0);
  }
};

enum Of : std::size_t { value_sums, grad_sums, hess_sums, kinds };

/// Sums over the samples for each of some predictions.
template <class T>
class Meeting {
 public:
  virtual ~Meeting() = default;
  /// Adds the terms of predictions with their levels tau (and 1 - tau) against samples to `sums`: for each pack of predictions, LaneSums of
  /// the values, of the derivatives and, if `second`, of the second ones.
  virtual void add(const T* pred, const T* above, const T* below, std::size_t count, const T* sample, std::size_t samples, bool second,
                   double* sums) const = 0;
};

template <class Loss, class T>
class MeetingOf final : public Meeting<T> {
  using V = Pack<T>;

 public:
  explicit MeetingOf(const Loss& loss) : loss_(loss) {}

  void add(const T* pred, const T* above, const T* below, std::size_t count, const T* sample, std::size_t samples, bool second,
           double* sums) const override {
    const auto with = [&](auto is_second, auto is_linear) { add<is_second, is_linear>(pred, above, below, count, sample, samples, sums); };
    if (loss_.linear()) {
      second ? with(std::true_type{}, std::true_type{}) : with(std::false_type{}, std::true_type{});
    } else {
      second ? with(std::true_type{}, std::false_type{}) : with(std::false_type{}, std::false_type{});
    }
  }

 private:
  template <bool second, bool linear>
  [[gnu::flatten]] void add(const T* pred, const T* above, const T* below, std::size_t count, const T* sample, std::size_t samples,
                            double* sums) const {
    const Loss loss = loss_;
    for_each_pack<T>(count, [&](std::size_t i, auto, auto lanes) PYLOSS_INLINE_LAMBDA {
      const V x = lanes.load(pred + i), tau = lanes.load(above + i), rest = lanes.load(below + i);
      double* const to = sums + i / V::lanes * (kinds * LaneSums<T>::size);
      std::array<LaneSums<T>, kinds> sum;
      for (std::size_t k = 0; k < (second ? kinds : hess_sums); ++k) sum[k] = LaneSums<T>::load(to + k * LaneSums<T>::size);
      for (std::size_t begin = 0; begin < samples; begin += few) {
        V value = 0.0, grad = 0.0, hess = 0.0;
        for (std::size_t j = begin; j < std::min(samples, begin + few); ++j) {
          const Terms<V> terms = loss.template terms<linear>(x, V::all(sample[j]), tau, rest);
          value += terms.value;
          grad += terms.grad;
          if constexpr (second) hess += terms.hess;
        }
        sum[value_sums].add(value);
        sum[grad_sums].add(grad);
        if constexpr (second) sum[hess_sums].add(hess);
      }
      for (std::size_t k = 0; k < (second ? kinds : hess_sums); ++k) sum[k].store(to + k * LaneSums<T>::size);
    });
  }

  Loss loss_;
};

template <class T>
std::unique_ptr<Meeting<T>> meeting_of(const QuantileComponent& component) {
  return with_named(component.name, OfQuantiles{}, [&]<class Loss>() -> std::unique_ptr<Meeting<T>> {
    return std::make_unique<MeetingOf<Loss, T>>(with_parameters<Loss>(component.parameters));
  });
}

/// A sum that keeps what it loses to rounding.
class KeptSum {
 public:
  void add(double a) {
    const double before = sum_, after = before + a, added = after - before;
    lost_ += (before - (after - added)) + (a - added);
    sum_ = after;
  }
  double total() const { return std::isfinite(lost_) ? sum_ + lost_ : sum_; }

 private:
  double sum_ = 0.0, lost_ = 0.0;
};

template <class T>
class Run {
  static constexpr std::size_t lanes = Pack<T>::lanes;

 public:
  Run(std::span<const QuantileComponent> components, const QuantilesCall& call, Interrupt& interrupt)
      : terms_(components.size()),
        call_(call),
        interrupt_(interrupt),
        part_(
            std::min(call.quantiles, std::clamp(chunk_pairs / call.samples / least_of_part * least_of_part, least_of_part, most_of_part))),
        parts_(divide_up(call.quantiles, part_)),
        rows_at_once_(parts_ > 1 ? 1 : std::max<std::size_t>(1, chunk_pairs / (call.quantiles * call.samples))),
        units_(divide_up(call.rows, rows_at_once_) * parts_),
        threads_(static_cast<int>(std::clamp<std::size_t>(units_, 1, static_cast<std::size_t>(std::max(call.threads, 1))))),
        above_(call.quantiles),
        below_(call.quantiles),
        grads_(call.grad),
        hesses_(call.hess),
        values_(call.rows * parts_ * terms_) {
    for (const QuantileComponent& component : components) meetings_.push_back(meeting_of<T>(component));
    const auto count = static_cast<double>(call.quantiles);
    for (std::size_t i = 0; i < call.quantiles; ++i) {
      above_.data()[i] = static_cast<T>((static_cast<double>(i) + 0.5) / count);
      below_.data()[i] = static_cast<T>((static_cast<double>(call.quantiles - 1 - i) + 0.5) / count);
    }
    for (int i = 0; i < threads_; ++i) scratch_.emplace_back(part_);
  }

  bool run(std::span<double> totals) {
    const bool done = for_each_chunk(units_, threads_, interrupt_, [&](std::size_t unit, int thread) {
      const std::size_t first = unit / parts_ * rows_at_once_, begin = unit % parts_ * part_;
      const std::size_t count = std::min(part_, call_.quantiles - begin);
      for (std::size_t row = first; row < std::min(call_.rows, first + rows_at_once_); ++row) {
        if (!find(row, unit % parts_, begin, count, thread)) return;
      }
      Scratch& own = scratch_[static_cast<std::size_t>(thread)];
      own.grad_joined.finish();
      own.hess_joined.finish();
    });
    if (done) reduce(totals);
    return done;
  }

 private:
  /// What a thread needs of its own, for a part of a row.
  struct Scratch {
    Buffer<T> pred, sample, grad, hess;
    Buffer<double> sums, by_grad, by_hess;
    Joined<T> grad_joined, hess_joined;

    explicit Scratch(std::size_t part)
        : pred(part),
          sample(sample_block),
          grad(part),
          hess(part),
          sums(divide_up(part, simd::group<T>) * simd::group<T> / lanes * kinds * LaneSums<T>::size),
          by_grad(part),
          by_hess(part) {}
  };

  /// Predictions [begin, begin + count) of a row against its samples; false if interrupted.
  bool find(std::size_t row, std::size_t part, std::size_t begin, std::size_t count, int thread) {
    Scratch& own = scratch_[static_cast<std::size_t>(thread)];
    const std::size_t first = row * call_.quantiles + begin;
    double weight = 1.0;
    if (call_.weight) call_.weight.read(row, 1, &weight);
    std::fill_n(own.by_grad.data(), count, 0.0);
    std::fill_n(own.by_hess.data(), count, 0.0);
    if (weight != 0.0) {
      const T* const pred = block_of(call_.pred, first, count, own.pred.data());
      for (std::size_t k = 0; k < terms_; ++k) {
        if (!add_up(k, row, begin, count, pred, own, thread)) return false;
        const double each = weight / static_cast<double>(call_.samples);
        values_[(row * parts_ + part) * terms_ + k] = each * take(own, count, each * call_.scale[k]);
      }
    }
    write(grads_, first, count, own.by_grad.data(), own.grad.data(), own.grad_joined);
    write(hesses_, first, count, own.by_hess.data(), own.hess.data(), own.hess_joined);
    return true;
  }

  bool add_up(std::size_t k, std::size_t row, std::size_t begin, std::size_t count, const T* pred, Scratch& own, int thread) {
    std::fill_n(own.sums.data(), divide_up(count, simd::group<T>) * simd::group<T> / lanes * kinds * LaneSums<T>::size, 0.0);
    for (std::size_t at = 0; at < call_.samples; at += sample_block) {
      if (stopped(interrupt_, thread)) return false;
      const std::size_t some = std::min(sample_block, call_.samples - at);
      const T* const sample = block_of(call_.target, row * call_.samples + at, some, own.sample.data());
      meetings_[k]->add(pred, above_.data() + begin, below_.data() + begin, count, sample, some, static_cast<bool>(call_.hess),
                        own.sums.data());
    }
    return true;
  }

  /// The sum of the values; adds the derivatives, multiplied by `scale`, to the part's.
  double take(Scratch& own, std::size_t count, double scale) const {
    double lane[simd::Sum<double>::size] = {};
    simd::SumOfFew<double> value(lane);
    double *const by_grad = own.by_grad.data(), *const by_hess = own.by_hess.data();
    for_each_pack<double>(count, [&](std::size_t i, auto place, auto real) PYLOSS_INLINE_LAMBDA {
      const double* const sums = own.sums.data() + i / lanes * (kinds * LaneSums<T>::size) + i % lanes;
      const auto sum = [&](Of kind) PYLOSS_INLINE_LAMBDA { return LaneSums<T>::totals(sums + kind * LaneSums<T>::size); };
      value.add(i, place, real.or_zero(sum(value_sums)));
      real.store(by_grad + i, real.load(by_grad + i) + scale * sum(grad_sums));
      if (call_.hess) real.store(by_hess + i, real.load(by_hess + i) + scale * sum(hess_sums));
    });
    value.store(lane);
    return simd::Sum<double>::merge(lane);
  }

  static void write(const Results<T>& results, std::size_t first, std::size_t count, const double* from, T* scratch, Joined<T>& joined) {
    T* const to = results.block(first, count, scratch);
    if (!to) return;
    for (std::size_t i = 0; i < count; ++i) to[i] = static_cast<T>(from[i]);
    results.finish(first, count, to, joined);
  }

  /// Adds up what the parts have left, in their order.
  void reduce(std::span<double> totals) const {
    std::vector<KeptSum> all(terms_);
    double written[block_elements];
    for_each_block(0, call_.rows, [&](std::size_t first, std::size_t count) {
      for (std::size_t row = first; row < first + count; ++row) {
        double& value = written[row - first] = 0.0;
        for (std::size_t k = 0; k < terms_; ++k) {
          KeptSum sum;
          for (std::size_t part = 0; part < parts_; ++part) sum.add(values_[(row * parts_ + part) * terms_ + k]);
          all[k].add(sum.total());
          value += call_.scale[k] * sum.total();
        }
      }
      if (call_.value) call_.value.write(first, count, written);
    });
    for (std::size_t k = 0; k < terms_; ++k) totals[k] += all[k].total();
  }

  std::size_t terms_;
  const QuantilesCall& call_;
  Interrupt& interrupt_;
  std::size_t part_, parts_, rows_at_once_, units_;
  int threads_;
  Buffer<T> above_, below_;  // tau and 1 - tau
  Results<T> grads_, hesses_;
  std::vector<std::unique_ptr<Meeting<T>>> meetings_;
  std::vector<Scratch> scratch_;
  std::vector<double> values_;  // of each row, part and component, weighted
};

}  // namespace

std::span<const Signature> quantile_losses() { return signatures(OfQuantiles{}); }

bool run_quantiles(std::span<const QuantileComponent> components, const QuantilesCall& call, Interrupt& interrupt,
                   std::span<double> totals) {
  const bool float64 =
      call.float64 || std::any_of(components.begin(), components.end(), [](const QuantileComponent& component) {
        return with_named(component.name, OfQuantiles{}, [&]<class Loss>() { return with_parameters<Loss>(component.parameters).wide(); });
      });
  return float64 ? Run<double>(components, call, interrupt).run(totals) : Run<float>(components, call, interrupt).run(totals);
}

}  // namespace pyloss
