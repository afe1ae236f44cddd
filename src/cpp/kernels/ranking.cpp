#include "ranking.hpp"

#include <atomic>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>

#include "../losses/registry.hpp"
#include "buffer.hpp"
#include "sort.hpp"

namespace pyloss {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Whether to stop; a thread other than the caller's may only look.
struct Stop {
  Interrupt& interrupt;
  bool ask;

  bool operator()() const { return ask ? interrupt.check() : interrupt.requested(); }
};

/// Memory for one query of up to `size` items, which nothing touches before it is used. T is the type in which pairs are computed.
template <class T>
class Scratch {
 public:
  explicit Scratch(std::size_t size)
      : stride_(whole_groups(size) + simd::group<float>),
        numbers_(columns * stride_),
        packed_(stride_),
        items_(size),
        spare_(size),
        level_starts_(size + 1),
        levels_(size) {}

  double* score() const { return column(0); }
  double* relevance() const { return column(1); }
  double* grad() const { return column(2); }
  double* hess() const { return column(3); }
  /// One of six more.
  double* work(std::size_t which) const { return column(4 + which); }
  T* packed() const { return packed_.data(); }
  Keyed* items() const { return items_.data(); }
  Keyed* spare() const { return spare_.data(); }
  std::size_t* level_starts() const { return level_starts_.data(); }
  std::size_t* levels() const { return levels_.data(); }

 private:
  static constexpr std::size_t columns = 10;

  static std::size_t whole_groups(std::size_t size) { return divide_up(size, simd::group<float>) * simd::group<float>; }
  double* column(std::size_t which) const { return numbers_.data() + which * stride_; }

  std::size_t stride_;
  Buffer<double> numbers_;
  Buffer<T> packed_;
  Buffer<Keyed> items_, spare_;
  Buffer<std::size_t> level_starts_, levels_;
};

/// What a query adds to the total, and what it counts in a mean.
struct Outcome {
  double value = 0.0, count = 0.0;
};

/// One query: its items' scores and relevance are in the scratch memory, and the derivatives go there.
template <class T>
struct Query {
  std::size_t size;
  const Scratch<T>& in;
  Want want;
  Stop stop;

  template <class Key>
  bool sort(const double* by, Key&& key) const {
    for (std::size_t i = 0; i < size; ++i) in.items()[i] = {key(by[i]), i};
    return sort_keyed(in.items(), in.spare(), size, stop);
  }
  bool sort_by_relevance() const { return sort(in.relevance(), descending); }

  /// After sorting: the items of equal relevance follow one another; where these levels start, and where the last ends.
  std::size_t find_levels() const {
    std::size_t levels = 0;
    for (std::size_t i = 0; i < size; ++i) {
      if (i == 0 || in.items()[i].key != in.items()[i - 1].key) in.level_starts()[levels++] = i;
      in.levels()[in.items()[i].index] = levels - 1;
    }
    in.level_starts()[levels] = size;
    return levels;
  }

  /// Pairs of different relevance.
  double pairs(std::size_t levels) const {
    double count = 0.0;
    for (std::size_t level = 0; level < levels; ++level) {
      const std::size_t begin = in.level_starts()[level], end = in.level_starts()[level + 1];
      count += static_cast<double>(end - begin) * static_cast<double>(size - end);
    }
    return count;
  }
};

/// Losses of all pairs, in the order in which the items are `arranged`: each item as the first of those with the items of some range behind
/// it, and as the second of those with the items of some range before it.
template <class T, class Loss>
class Pairs {
 public:
  using V = simd::Pack<T>;

  Pairs(const Loss& loss, const Query<T>& query, const double* discounts) : loss_(loss), query_(query) {
    const std::size_t n = query.size;
    if constexpr (Loss::arranged == Arranged::by_score) {
      // The gain of the best order of the items.
      if (!query.sort_by_relevance()) return;
      levels_ = query.find_levels();
      const double* const relevance = query.in.relevance();
      const double top = relevance[query.in.items()[0].index];
      first_rows_ = loss.k < static_cast<double>(n) ? static_cast<std::size_t>(loss.k) : n;
      double best = 0.0;
      for (std::size_t i = 0; i < first_rows_; ++i) best += loss.gain(relevance[query.in.items()[i].index], top) * discounts[i];
      if (!query.sort(query.in.score(), descending)) return;
      for (std::size_t i = 0; i < n; ++i) gains_[i] = loss.gain(relevance[query.in.items()[i].index], top) / best;
      discounts_ = discounts;
      pairs_ = 1.0;
    } else {
      if (!query.sort_by_relevance()) return;
      levels_ = query.find_levels();
      first_rows_ = query.in.level_starts()[levels_ - 1];
      pairs_ = query.pairs(levels_);
    }
    for (std::size_t i = 0; i < n; ++i) scores_[i] = static_cast<T>(query.in.score()[query.in.items()[i].index]);
    if (query.want >= Want::grad) std::fill_n(grads_, n + simd::group<T>, 0.0);
    if (query.want >= Want::hess) std::fill_n(bends_, n + simd::group<T>, 0.0);
  }

  Outcome run() {
    double value = 0.0;
    switch (query_.want) {
      case Want::value: value = all<Want::value>(); break;
      case Want::grad: value = all<Want::grad>(); break;
      case Want::hess: value = all<Want::hess>(); break;
    }
    return finish(value);
  }

  /// The same with the rows shared among threads: each row looks both ways, so that none adds to another's.
  Outcome run(int threads) {
    const std::size_t n = query_.size, rows = std::max<std::size_t>(1, (std::size_t{1} << 20) / n);
    double* const values = query_.in.work(4);
    const auto by = [&]<Want want>(std::integral_constant<Want, want>) {
      for_each_chunk(divide_up(n, rows), threads, query_.stop.interrupt, [&](std::size_t unit, int) {
        for (std::size_t i = unit * rows; i < std::min(n, (unit + 1) * rows); ++i) values[i] = row<want>(i);
      });
    };
    switch (query_.want) {
      case Want::value: by(std::integral_constant<Want, Want::value>{}); break;
      case Want::grad: by(std::integral_constant<Want, Want::grad>{}); break;
      case Want::hess: by(std::integral_constant<Want, Want::hess>{}); break;
    }
    if (query_.stop.interrupt.requested()) return {};
    double value = 0.0;
    for (std::size_t i = 0; i < n; ++i) value += values[i];
    return finish(value);
  }

 private:
  struct Row {
    double value = 0.0, grad = 0.0, hess = 0.0;
  };

  Ranked<V> all_of(std::size_t i) const {
    if constexpr (Loss::arranged == Arranged::by_score) return {V::all(scores_[i]), V::all(gains_[i]), V::all(discounts_[i])};
    return {V::all(scores_[i]), 0.0, 0.0};
  }
  template <class Lanes>
  PYLOSS_INLINE Ranked<V> some(std::size_t i, Lanes lanes) const {
    if constexpr (Loss::arranged == Arranged::by_score) {
      return {lanes.load(scores_ + i), lanes.load(gains_ + i), lanes.load(discounts_ + i)};
    }
    return {lanes.load(scores_ + i), 0.0, 0.0};
  }

  /// The items behind i with which it is the first of a pair, to the end.
  std::size_t behind(std::size_t i) const {
    if constexpr (Loss::arranged == Arranged::by_score) return i < first_rows_ ? i + 1 : query_.size;
    return query_.in.level_starts()[query_.in.levels()[query_.in.items()[i].index] + 1];
  }
  /// How many of the first items come in pairs before i.
  std::size_t before(std::size_t i) const {
    if constexpr (Loss::arranged == Arranged::by_score) return std::min(i, first_rows_);
    return query_.in.level_starts()[query_.in.levels()[query_.in.items()[i].index]];
  }

  static PYLOSS_INLINE void add_to(double* to, simd::Pack<double> a) { (simd::Pack<double>::load(to) + a).store(to); }
  static PYLOSS_INLINE void add_wide(double* to, V a) {
    if constexpr (sizeof(T) == 8) {
      add_to(to, a);
    } else {
      add_to(to, simd::widen_low(a.v));
      add_to(to + simd::Pack<double>::lanes, simd::widen_high(a.v));
    }
  }

  PYLOSS_INLINE Terms<V> terms(const Ranked<V>& first, const Ranked<V>& second) const {
    if constexpr (Loss::arranged == Arranged::by_slack) {
      return of_pair(loss_, first, second);
    } else {
      return loss_(first, second);
    }
  }

  /// Pairs of i with [begin, end): i is their first, or their second and their values do not count again. With `both`, derivatives by the
  /// others are added where they belong.
  template <Want want, bool is_first, bool both>
  Row pairs_with(std::size_t i, std::size_t begin, std::size_t end) const {
    simd::Sum<T> value, grad, hess;
    const Ranked<V> item = all_of(i);
    simd::for_each_pack<T>(end - begin, [&](std::size_t k, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
      const std::size_t j = begin + k;
      const Ranked<V> other = some(j, lanes);
      const Terms<V> pair = is_first ? terms(item, other) : terms(other, item);
      if constexpr (is_first) value.add(place, lanes.or_zero(pair.value));
      if constexpr (want >= Want::grad) {
        const V g = lanes.or_zero(is_first ? pair.grad : -pair.grad);
        grad.add(place, g);
        if constexpr (both) add_wide(grads_ + j, -g);
      }
      if constexpr (want >= Want::hess) {
        const V h = lanes.or_zero(pair.hess);
        hess.add(place, h);
        if constexpr (both) add_wide(bends_ + j, h);
      }
    });
    return {is_first ? value.total() : 0.0, want >= Want::grad ? grad.total() : 0.0, want >= Want::hess ? hess.total() : 0.0};
  }

  template <Want want>
  double all() {
    double value = 0.0;
    for (std::size_t i = 0; i < first_rows_; ++i) {
      const Row row = pairs_with<want, true, true>(i, behind(i), query_.size);
      value += row.value;
      if constexpr (want >= Want::grad) grads_[i] += row.grad;
      if constexpr (want >= Want::hess) bends_[i] += row.hess;
    }
    return value;
  }

  template <Want want>
  double row(std::size_t i) {
    const Row first = pairs_with<want, true, false>(i, behind(i), query_.size);
    if constexpr (want >= Want::grad) {
      const Row second = pairs_with<want, false, false>(i, 0, before(i));
      grads_[i] = first.grad + second.grad;
      if constexpr (want >= Want::hess) bends_[i] = first.hess + second.hess;
    }
    return first.value;
  }

  Outcome finish(double value) const {
    for (std::size_t i = 0; i < query_.size; ++i) {
      const std::size_t at = query_.in.items()[i].index;
      if (query_.want >= Want::grad) query_.in.grad()[at] = grads_[i];
      if (query_.want >= Want::hess) query_.in.hess()[at] = bends_[i];
    }
    return {value, pairs_};
  }

  const Loss& loss_;
  const Query<T>& query_;
  std::size_t levels_ = 0, first_rows_ = 0;
  double pairs_ = 0.0;
  T* const scores_ = query_.in.packed();
  double *const gains_ = query_.in.work(0), *const grads_ = query_.in.work(1), *const bends_ = query_.in.work(2);
  const double* discounts_ = nullptr;
};

/// Losses of the slacks of pairs. Items are merged level by level in the order of their scores; wherever two groups meet, one all more
/// relevant than the other, those who do not keep their margin to an item are a prefix or suffix of the other group. As the item moves on,
/// their slacks grow by what it moves, so that their sums only ever grow and nothing cancels.
template <class Loss>
class SlackSums {
 public:
  SlackSums(const Loss& loss, const Query<double>& query) : loss_(loss), query_(query), items_(query.in.items()) {}

  Outcome run() {
    const Scratch<double>& in = query_.in;
    const std::size_t n = query_.size;
    if (query_.want >= Want::grad) std::fill_n(in.grad(), n, 0.0);
    if (query_.want >= Want::hess) std::fill_n(in.hess(), n, 0.0);
    if (!query_.sort_by_relevance()) return {};
    const std::size_t levels = query_.find_levels();
    if (!query_.sort(in.score(), ascending)) return {};
    // Level by level, each in the order of the scores.
    std::copy(items_, items_ + n, in.spare());
    auto* const next = reinterpret_cast<std::size_t*>(in.work(0));
    std::copy(in.level_starts(), in.level_starts() + levels, next);
    for (std::size_t i = 0; i < n; ++i) {
      const Keyed& item = in.spare()[i];
      items_[next[in.levels()[item.index]]++] = item;
    }
    merge(0, levels);
    return {value_, query_.pairs(levels)};
  }

 private:
  double score(std::size_t place) const { return query_.in.score()[items_[place].index]; }
  double slack(double better, double worse) const { return loss_.margin - (better == worse ? 0.0 : better - worse); }

  /// The slacks of all pairs in a group have grown.
  static void grow(Slacks<double>& of, double by) {
    if (of.count == 0.0 || !(by > 0.0)) return;
    of.squares += by * (2.0 * of.sum + of.count * by);
    of.sum += of.count * by;
  }
  static void take(Slacks<double>& of, double slack) {
    of.count += 1.0;
    of.sum += slack;
    of.squares += slack * slack;
  }
  void add(std::size_t place, double sign, const Slacks<double>& of) {
    const std::size_t at = items_[place].index;
    if (query_.want >= Want::grad) query_.in.grad()[at] += sign * loss_.slope(of);
    if (query_.want >= Want::hess) query_.in.hess()[at] += loss_.bend(of);
  }

  /// Sets the levels [low, high) against one another and leaves their items in the order of their scores.
  void merge(std::size_t low, std::size_t high) {
    if (high - low < 2 || query_.stop()) return;
    const std::size_t* const starts = query_.in.level_starts();
    const std::size_t begin = starts[low], end = starts[high], half = begin + (end - begin) / 2;
    // The boundary nearest to the middle: so many levels of few items do not make it deep.
    std::size_t split = static_cast<std::size_t>(std::lower_bound(starts + low + 1, starts + high - 1, half) - starts);
    if (split > low + 1 && starts[split] > half && half - starts[split - 1] < starts[split] - half) --split;
    merge(low, split);
    merge(split, high);
    const std::size_t middle = starts[split];
    compare(begin, middle, end);
    if (end - begin == query_.size) return;
    const auto in_order = [](const Keyed& a, const Keyed& b) { return a.key < b.key; };
    std::merge(items_ + begin, items_ + middle, items_ + middle, items_ + end, query_.in.spare() + begin, in_order);
    std::copy(query_.in.spare() + begin, query_.in.spare() + end, items_ + begin);
  }

  /// The more relevant items [begin, middle) against the less relevant [middle, end).
  void compare(std::size_t begin, std::size_t middle, std::size_t end) {
    Slacks<double> of{};
    for (std::size_t i = middle, j = end; i-- > begin;) {
      if (i + 1 < middle) grow(of, score(i + 1) - score(i));
      for (double x; j > middle && (x = slack(score(i), score(j - 1))) >= 0.0; --j) take(of, x);
      value_ += loss_.value(of);
      add(i, -1.0, of);
    }
    if (query_.want == Want::value) return;
    of = {};
    for (std::size_t j = middle, i = begin; j < end; ++j) {
      if (j > middle) grow(of, score(j) - score(j - 1));
      for (double x; i < middle && (x = slack(score(i), score(j))) >= 0.0; ++i) take(of, x);
      add(j, 1.0, of);
    }
  }

  const Loss& loss_;
  const Query<double>& query_;
  Keyed* items_;
  double value_ = 0.0;
};

using Doubles = simd::Pack<double>;

/// The softmax of some numbers: exp(x - max) is left in `e`, and added up but for the first largest, whose own is 1.
struct Softmax {
  std::size_t top = 0;
  double max, others;

  Softmax(const double* x, std::size_t size, double* e) {
    constexpr std::size_t places = simd::group<double> / Doubles::lanes;
    Doubles largest[places];
    for (auto& each : largest) each = x[0];
    simd::for_each_pack<double>(size, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
      largest[place] = simd::max(largest[place], select(lanes.real(), lanes.load(x + i), largest[place]));
    });
    max = x[0];
    for (const Doubles& each : largest) {
      for (std::size_t lane = 0; lane < Doubles::lanes; ++lane) max = std::max(max, static_cast<double>(each.v[lane]));
    }
    while (top + Doubles::lanes <= size && bits_of(Doubles::load(x + top) == Doubles::all(max)) == 0) top += Doubles::lanes;
    while (top + 1 < size && x[top] != max) ++top;

    simd::Sum<double> sum;
    const Doubles most = Doubles::all(max), first = Doubles::all(static_cast<double>(top));
    simd::for_each_pack<double>(size, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
      const Doubles a = lanes.load(x + i), each = exp_nonpositive(select(a == most, 0.0, a - most));
      lanes.store(e + i, each);
      const Doubles at = simd::lane_numbers<double>() + Doubles::all(static_cast<double>(i));
      sum.add(place, lanes.or_zero(select(at == first, 0.0, each)));
    });
    others = sum.total();
  }

  double total() const { return 1.0 + others; }
  double share(double e) const { return e / total(); }
  double not_share(std::size_t i, double e) const { return i == top ? others / total() : 1.0 - share(e); }
};

Outcome choose(const ListNet& loss, const Query<double>& query) {
  const std::size_t n = query.size;
  double *const p = query.in.work(0), *const q = query.in.work(1);
  const double* const scores = query.in.score();
  const Softmax of_scores(scores, n, p), of_relevance(query.in.relevance(), n, q);
  const double log_total = std::log1p(of_scores.others), of_p = of_scores.share(1.0), of_q = of_relevance.share(1.0);
  const auto terms_of = [&](auto score, auto own_p, auto not_p, auto own_q, auto not_q) PYLOSS_INLINE_LAMBDA {
    const Doubles below = select(score == of_scores.max, 0.0, of_scores.max - score);
    return loss(below + log_total, own_p, not_p, own_q, not_q);
  };
  simd::Sum<double> value;
  simd::for_each_pack<double>(n, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
    const Doubles own_p = lanes.load(p + i) * of_p, own_q = lanes.load(q + i) * of_q;
    const auto terms = terms_of(lanes.load(scores + i), own_p, 1.0 - own_p, own_q, 1.0 - own_q);
    value.add(place, lanes.or_zero(terms.value));
    if (query.want >= Want::grad) lanes.store(query.in.grad() + i, terms.grad);
    if (query.want >= Want::hess) lanes.store(query.in.hess() + i, terms.hess);
  });
  // The largest shares again, whose complements are known better.
  for (const std::size_t i : {of_scores.top, of_relevance.top}) {
    const auto terms = terms_of(Doubles(scores[i]), Doubles(of_scores.share(p[i])), Doubles(of_scores.not_share(i, p[i])),
                                Doubles(of_relevance.share(q[i])), Doubles(of_relevance.not_share(i, q[i])));
    if (query.want >= Want::grad) query.in.grad()[i] = terms.grad.v[0];
    if (query.want >= Want::hess) query.in.hess()[i] = terms.hess.v[0];
  }
  return {value.total(), 1.0};
}

Outcome choose(const ListMLE& loss, const Query<double>& query) {
  if (!query.sort_by_relevance()) return {};
  const std::size_t n = query.size;
  const Keyed* const items = query.in.items();
  // Of the choice at each place: by how much the item is above (or, negative, below) the largest behind it, e^-|that|, and the sum of
  // exp(score - largest) of all that are left but for a largest.
  double *const lead = query.in.work(0), *const e = query.in.work(1), *const others = query.in.work(2);
  double largest = query.in.score()[items[n - 1].index];
  lead[n - 1] = 0.0;
  for (std::size_t i = n - 1; i-- > 0;) {
    const double score = query.in.score()[items[i].index];
    lead[i] = score == largest ? 0.0 : score - largest;
    largest = std::max(largest, score);
  }
  simd::for_each_pack<double>(
      n, [&](std::size_t i, auto, auto lanes) PYLOSS_INLINE_LAMBDA { lanes.store(e + i, exp_nonpositive(-abs(lanes.load(lead + i)))); });
  if (query.stop()) return {};
  others[n - 1] = 0.0;
  for (std::size_t i = n - 1; i-- > 0;) others[i] = lead[i] > 0.0 ? (1.0 + others[i + 1]) * e[i] : others[i + 1] + e[i];
  simd::Sum<double> value;
  simd::for_each_pack<double>(n, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
    const Doubles below = max(-lanes.load(lead + i), 0.0);
    value.add(place, lanes.or_zero(loss(below, lanes.load(others + i))));
  });
  if (query.want == Want::value) return {value.total(), 1.0};
  // An item takes part in its own choice and in all before it; these by their sums, in units of exp(largest left).
  double earlier = 0.0, earlier_squares = 0.0;
  // Of these, those in which the item that is now the largest left was not yet; and p (1 - p) of that item in the others.
  double before = 0.0, before_squares = 0.0, since = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    const bool leads = lead[i] > 0.0 || i + 1 == n;
    const double total = 1.0 + others[i], height = leads ? 1.0 : e[i];
    const double not_chosen = (leads ? others[i] : 1.0 + others[i + 1]) / total;
    const std::size_t at = items[i].index;
    query.in.grad()[at] = height * earlier - not_chosen;
    if (query.want >= Want::hess) {
      since += others[i] / (total * total);
      const double square = height * height;
      query.in.hess()[at] =
          leads ? before - before_squares + since : height * earlier - square * earlier_squares + height / total * not_chosen;
    }
    // The next largest may be lower.
    const double step = leads ? e[i] : 1.0;
    earlier = (earlier + 1.0 / total) * step;
    earlier_squares = (earlier_squares + 1.0 / (total * total)) * (step * step);
    if (leads) before = earlier, before_squares = earlier_squares, since = 0.0;
  }
  return {value.total(), 1.0};
}

template <class T, class Loss>
class Ranking {
 public:
  Ranking(const RankingCall& call, const Queries& queries, const Loss& loss, Interrupt& interrupt)
      : call_(call),
        queries_(queries),
        loss_(loss),
        interrupt_(interrupt),
        values_(queries.count()),
        counts_(queries.count()),
        weights_(queries.count(), 1.0),
        direct_(counts_one && queries.in_order() && largest() <= large) {
    if (call.weight) call.weight.template read<double>(0, weights_.size(), weights_.data());
  }

  bool run(RankingResult& result) {
    const std::size_t n = queries_.items();
    if (call_.want >= Want::grad && !direct_) grads_ = Buffer<double>(n);
    if (call_.want >= Want::hess && !direct_) bends_ = Buffer<double>(n);
    if (!queries_.in_order()) {
      scores_ = Buffer<double>(n);
      relevance_ = Buffer<double>(n);
      const bool read = for_each_block([&](std::size_t begin, std::size_t count) {
        call_.pred.template read<double>(begin, count, scores_.data() + begin);
        call_.target.template read<double>(begin, count, relevance_.data() + begin);
      });
      if (!read) return false;
    }
    find_discounts();
    const bool counts_first = direct_ && call_.mean && call_.want != Want::value;
    if (counts_first && !run_small([&](std::size_t q, const Scratch<T>& in, Stop) { count(q, in); })) return false;
    scale_ = scale();
    if (!run_small([&](std::size_t q, const Scratch<T>& in, Stop stop) { evaluate(q, in, stop, 1); }) || !run_large()) return false;
    if (first_bad_ < n) {
      result.bad_item = first_bad_;
      return true;
    }
    double total = 0.0;
    for (std::size_t q = 0; q < values_.size(); ++q) {
      if (weights_[q] != 0.0) total += values_[q] *= weights_[q];
    }
    scale_ = scale();
    result.value = scale_ == 0.0 ? 0.0 : scale_ * total;
    if (call_.value) write(call_.value, 0, values_.size(), values_.data());
    return call_.want == Want::value || direct_ || for_each_block([&](std::size_t begin, std::size_t size) {
             if (call_.grad) write_scaled(call_.grad, begin, size, grads_.data());
             if (call_.hess) write_scaled(call_.hess, begin, size, bends_.data());
           });
  }

 private:
  static constexpr bool of_pairs = Loss::arranged == Arranged::by_relevance || Loss::arranged == Arranged::by_score;
  /// Whether each query whose items differ counts 1 in the mean, so that the mean's divisor is known before any loss.
  static constexpr bool counts_one = Loss::arranged == Arranged::as_choices || Loss::arranged == Arranged::as_order;
  static constexpr std::size_t block = 8192;
  /// Queries beyond are done one by one: the pairs of one are shared among threads, and Ctrl-C is heard within one.
  static constexpr std::size_t large = of_pairs ? 4096 : 1 << 18;

  template <class Work>
  bool for_each_block(Work&& work) {
    const std::size_t n = queries_.items();
    return for_each_chunk(divide_up(n, block), n < 4 * block ? 1 : call_.threads, interrupt_,
                          [&](std::size_t unit, int) { work(unit * block, std::min(block, n - unit * block)); });
  }

  static void write(const View& to, std::size_t begin, std::size_t count, const double* from) {
    to.template write<double>(begin, count, from);
  }
  void write_scaled(const View& to, std::size_t begin, std::size_t count, double* from) const {
    for (std::size_t i = begin; i < begin + count; ++i) from[i] *= scale_;
    write(to, begin, count, from + begin);
  }

  std::size_t largest() const {
    std::size_t most = 0;
    for (std::size_t q = 0; q < queries_.count(); ++q) most = std::max(most, queries_.size(q));
    return most;
  }

  /// By what values are multiplied, once all queries are counted.
  double scale() const {
    if (!call_.mean) return 1.0;
    double count = 0.0;
    for (std::size_t q = 0; q < counts_.size(); ++q) {
      if (weights_[q] != 0.0) count += counts_[q] * weights_[q];
    }
    return count > 0.0 ? 1.0 / count : 0.0;
  }

  void find_discounts() {
    if constexpr (Loss::arranged == Arranged::by_score) {
      discounts_.resize(largest());
      for (std::size_t i = 0; i < discounts_.size(); ++i) discounts_[i] = loss_.discount(static_cast<double>(i + 1));
    }
  }

  double cost(std::size_t query) const {
    const auto n = static_cast<double>(queries_.size(query));
    if constexpr (Loss::arranged == Arranged::by_score) return n * (std::min(n, loss_.k) + 50.0);
    return of_pairs ? n * (n + 50.0) : n * 50.0;
  }

  /// Calls work(query, scratch, stop).
  template <class Work>
  bool run_small(Work&& work) {
    // Neighbouring queries of together some 1 M operations of vectors make a chunk.
    std::vector<std::size_t> chunks{0};
    std::size_t most = 0;
    double sum = 0.0;
    for (std::size_t q = 0; q < queries_.count(); ++q) {
      if (queries_.size(q) > large) continue;
      most = std::max(most, queries_.size(q));
      sum += cost(q);
      if (sum < 1 << 20) continue;
      chunks.push_back(q + 1);
      sum = 0.0;
    }
    if (chunks.back() != queries_.count()) chunks.push_back(queries_.count());
    const std::size_t count = chunks.size() - 1;
    const auto threads = std::min<std::size_t>(count, static_cast<std::size_t>(call_.threads));
    // Before there are threads, since running out of memory could not leave them.
    std::vector<Scratch<T>> scratch;
    for (std::size_t i = 0; i < threads; ++i) scratch.emplace_back(most);
    return for_each_chunk(count, static_cast<int>(threads), interrupt_, [&](std::size_t chunk, int thread) {
      const auto& in = scratch[static_cast<std::size_t>(thread)];
      for (std::size_t q = chunks[chunk]; q < chunks[chunk + 1]; ++q) {
        if (queries_.size(q) <= large) work(q, in, Stop{interrupt_, thread == 0});
      }
    });
  }

  bool run_large() {
    for (std::size_t q = 0; q < queries_.count() && !interrupt_.requested(); ++q) {
      if (queries_.size(q) > large) evaluate(q, Scratch<T>(queries_.size(q)), Stop{interrupt_, true}, call_.threads);
    }
    return !interrupt_.requested();
  }

  struct Kind {
    bool undefined, alike;
  };

  Kind kind_of(const Scratch<T>& in, std::size_t n) const {
    const double *const scores = in.score(), *const relevance = in.relevance();
    std::size_t undefined = 0, differ = 0;  // counted, so that packs are compared
    for (std::size_t i = 0; i < n; ++i) {
      undefined += std::isunordered(scores[i], relevance[i]);
      differ += relevance[i] != relevance[0];
    }
    return {undefined > 0, differ == 0};
  }

  void count(std::size_t q, const Scratch<T>& in) {
    if (weights_[q] == 0.0) return;
    load(queries_.start(q), queries_.size(q), in);
    const Kind kind = kind_of(in, queries_.size(q));
    counts_[q] = kind.undefined || !kind.alike ? 1.0 : 0.0;
  }

  void evaluate(std::size_t q, const Scratch<T>& in, Stop stop, int threads) {
    const std::size_t start = queries_.start(q), n = queries_.size(q);
    if (weights_[q] == 0.0) return set(start, n, in, 0.0);
    load(start, n, in);
    const Kind kind = kind_of(in, n);
    if constexpr (Loss::arranged == Arranged::by_score) {
      for (std::size_t i = 0; i < n; ++i) {
        if (in.relevance()[i] < 0.0) report(queries_.item(start + i));
      }
    }
    if (kind.undefined) {
      values_[q] = nan;
      counts_[q] = 1.0;
      return set(start, n, in, nan);
    }
    if (kind.alike) return set(start, n, in, 0.0);
    const Query<T> query{n, in, call_.want, stop};
    Outcome outcome;
    if constexpr (of_pairs) {
      Pairs<T, Loss> pairs(loss_, query, discounts_.data());
      if (stop()) return;
      outcome = n > large ? pairs.run(threads) : pairs.run();
    } else if constexpr (Loss::arranged == Arranged::by_slack) {
      // Of few items, to look at all pairs is less work than to sort.
      outcome = n <= 256 ? Pairs<T, Loss>(loss_, query, nullptr).run() : SlackSums<Loss>(loss_, query).run();
    } else {
      outcome = choose(loss_, query);
    }
    values_[q] = outcome.value;
    counts_[q] = outcome.count;
    store(start, n, in, weights_[q]);
  }

  void load(std::size_t start, std::size_t n, const Scratch<T>& in) const {
    if (queries_.in_order()) {
      call_.pred.template read<double>(start, n, in.score());
      call_.target.template read<double>(start, n, in.relevance());
      return;
    }
    for (std::size_t i = 0; i < n; ++i) {
      in.score()[i] = scores_.data()[queries_.item(start + i)];
      in.relevance()[i] = relevance_.data()[queries_.item(start + i)];
    }
  }

  void store(std::size_t start, std::size_t n, const Scratch<T>& in, double weight) const {
    if (call_.want >= Want::grad) store(start, n, in.grad(), weight, grads_, call_.grad);
    if (call_.want >= Want::hess) store(start, n, in.hess(), weight, bends_, call_.hess);
  }
  void store(std::size_t start, std::size_t n, double* from, double weight, const Buffer<double>& all, const View& to) const {
    for (std::size_t i = 0; i < n; ++i) from[i] *= weight;
    if (!direct_) {
      for (std::size_t i = 0; i < n; ++i) all.data()[queries_.item(start + i)] = from[i];
    } else if (to) {
      for (std::size_t i = 0; i < n; ++i) from[i] *= scale_;
      write(to, start, n, from);
    }
  }

  void set(std::size_t start, std::size_t n, const Scratch<T>& in, double value) const {
    if (call_.want >= Want::grad) std::fill_n(in.grad(), n, value);
    if (call_.want >= Want::hess) std::fill_n(in.hess(), n, value);
    store(start, n, in, 1.0);
  }

  void report(std::size_t item) {
    std::size_t known = first_bad_.load(std::memory_order_relaxed);
    while (item < known && !first_bad_.compare_exchange_weak(known, item, std::memory_order_relaxed)) {
    }
  }

  const RankingCall& call_;
  const Queries& queries_;
  Loss loss_;
  Interrupt& interrupt_;
  std::vector<double> values_, counts_, weights_, discounts_;
  bool direct_;  // results go to the caller query by query
  double scale_ = 1.0;
  Buffer<double> scores_, relevance_;  // of all items, where these do not lie query by query
  Buffer<double> grads_, bends_;       // of all items, before they are scaled and rounded once
  std::atomic<std::size_t> first_bad_{~std::size_t{0}};
};

template <class T, class Loss>
RankingResult run(const RankingCall& call, const Queries& queries, Interrupt& interrupt) {
  RankingResult result;
  Ranking<T, Loss>(call, queries, with_parameters<Loss>(call.parameters), interrupt).run(result);
  return result;
}

}  // namespace

Queries::Queries(std::size_t size) {
  if (size > 0) starts_.push_back(size);
}

Queries::Queries(const View& ids, bool is_unsigned, Interrupt& interrupt) {
  constexpr std::size_t block = 2048, stretch = 16;  // of which many are of one query
  const std::size_t n = ids.size();
  const std::uint64_t flip = is_unsigned ? 0 : std::uint64_t{1} << 63;
  std::int64_t read[block];
  // Calls use(begin, count) for blocks that have been read, until it says no.
  const auto for_each = [&](auto&& use) {
    for (std::size_t begin = 0; begin < n; begin += block) {
      if (interrupt.check()) return false;
      const std::size_t count = std::min(block, n - begin);
      ids.read(begin, count, read);
      for (std::size_t i = 0; i < count; ++i) read[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(read[i]) ^ flip);
      if (!use(begin, count)) return false;
    }
    return true;
  };
  const auto id_at = [&](std::size_t i) { return static_cast<std::uint64_t>(read[i]); };
  std::uint64_t last = 0;
  const auto start_after = [&](std::size_t i, std::uint64_t id) {
    if (i > 0 && id != last) starts_.push_back(i);
    last = id;
  };
  const bool sorted = for_each([&](std::size_t begin, std::size_t count) {
    for (std::size_t first = 0; first < count; first += stretch) {
      const std::size_t end = std::min(first + stretch, count);
      std::uint64_t other = 0;
      for (std::size_t i = first; i < end; ++i) other |= id_at(i) ^ last;
      if (other == 0) continue;
      for (std::size_t i = first; i < end; ++i) {
        if (begin + i > 0 && id_at(i) < last) return false;
        start_after(begin + i, id_at(i));
      }
    }
    return true;
  });
  if (!sorted && !interrupt.requested()) {
    starts_ = {0};
    const Buffer<Keyed> items(n), spare(n);
    for_each([&](std::size_t begin, std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) items.data()[begin + i] = {id_at(i), begin + i};
      return true;
    });
    if (interrupt.requested() || !sort_keyed(items.data(), spare.data(), n, [&] { return interrupt.check(); })) return;
    order_.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      start_after(i, items.data()[i].key);
      order_[i] = items.data()[i].index;
    }
  }
  if (n > 0) starts_.push_back(n);
}

std::span<const Signature> ranking_losses() { return signatures(RankingLosses{}); }

RankingResult run_ranking(const RankingCall& call, const Queries& queries, Interrupt& interrupt) {
  return with_named(call.loss, RankingLosses{}, [&]<class Loss>() {
    // What is not made of all pairs costs nothing in float64, and differences of discounts would lose their digits in float32.
    if constexpr (Loss::arranged == Arranged::by_relevance) {
      if (!call.float64) return run<float, Loss>(call, queries, interrupt);
    }
    return run<double, Loss>(call, queries, interrupt);
  });
}

}  // namespace pyloss
