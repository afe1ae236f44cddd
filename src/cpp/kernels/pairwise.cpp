#include "pairwise.hpp"

#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <type_traits>

#include "../distances/metrics.hpp"
#include "inner_products.hpp"

namespace pyloss {

namespace {

using simd::Pack;

/// Rows and columns that one thread takes at a time: the rows' panels stay in the second-level cache, a panel of columns in the first.
constexpr std::size_t unit_rows = 96, unit_columns = 1024;

/// The sums of one pair in every lane, the features side by side.
template <class T, class Metric>
void sums_of_pair(const Metric& metric, const T* x, const T* y, std::size_t depth, Pack<T>* all) {
  using V = Pack<T>;
  constexpr std::size_t places = simd::group<T> / V::lanes;
  V sum[places][Metric::sums];
  for (auto& place : sum) {
    for (V& each : place) each = 0.0;
  }
  simd::for_each_pack<T>(depth, [&](std::size_t i, auto place, auto lanes)
                                    PYLOSS_INLINE_LAMBDA { metric.step(sum[place], lanes.load(x + i), lanes.load(y + i)); });
  for (std::size_t s = 0; s < Metric::sums; ++s) {
    T lane[simd::group<T>];
    for (std::size_t p = 0; p < places; ++p) sum[p][s].store(lane + p * V::lanes);
    for (std::size_t half = simd::group<T> / 2; half > 0; half /= 2) {
      for (std::size_t i = 0; i < half; ++i) {
        T merged[V::lanes];
        metric.merge(V::all(lane[i]), V::all(lane[i + half])).store(merged);
        lane[i] = merged[0];
      }
    }
    all[s] = V::all(lane[0]);
  }
}

/// A power of two by which rows are multiplied where that does not change their distances: sums of the largest numbers would overflow.
template <class Metric>
double scale_of(const PairwiseCall& call) {
  if constexpr (Metric::scale_free) {
    const double most = call.x.float64 ? std::numeric_limits<double>::max() : static_cast<double>(std::numeric_limits<float>::max());
    if (std::max(largest_finite_of(call.x), largest_finite_of(call.y)) > std::scalbn(most, -40)) return 0x1p-40;
  }
  return 1.0;
}

template <class From, class To>
void read_scaled(const From* from, std::size_t depth, double scale, To* to) {
  for (std::size_t k = 0; k < depth; ++k) to[k] = static_cast<To>(scale == 1.0 ? from[k] : static_cast<From>(scale) * from[k]);
}

/// The distance of a pair whose sum of powers has left the range of float64: by the powers of the quotients by the largest difference.
double minkowski_by_largest(const double* x, const double* y, std::size_t depth, double p) {
  double largest = 0.0, sum = 0.0;
  for (std::size_t k = 0; k < depth; ++k) {
    const double r = std::abs(x[k] - y[k]);
    if (r != r) return r;
    largest = std::max(largest, r);
  }
  if (largest == 0.0 || !(largest < simd::infinity<double>)) return largest;
  for (std::size_t k = 0; k < depth; ++k) sum += std::pow(std::abs(x[k] - y[k]) / largest, p);
  return largest * std::pow(sum, 1.0 / p);
}

/// `distance`, or what it should be.
template <class T, class Metric>
double corrected(const Metric& metric, const T* x, const T* y, std::size_t depth, double distance) {
  if constexpr (requires { metric.p; } && sizeof(T) == 8) {
    const double power = metric.p * std::log2(distance);
    if (!(power > -900.0 && power < 900.0)) return minkowski_by_largest(x, y, depth, metric.p);
  }
  return distance;
}

/// A metric that adds up over the features, as the loops over tiles see it: they are compiled once for all such metrics.
template <class T>
class Summed {
 public:
  virtual ~Summed() = default;
  /// Distances of a panel of rows and one of columns.
  virtual void measure(const T* a, const T* b, std::size_t depth, T* tile) const = 0;
  virtual double in_float64(const double* x, const double* y, std::size_t depth) const = 0;
  /// `distance` of the two rows, or what it should be.
  virtual double correct(const double* x, const double* y, std::size_t depth, double distance) const = 0;

  double scale = 1.0;                                  // of the rows
  double least = -1.0, most = simd::infinity<double>;  // distances beyond these want correct()
};

template <class T, class Metric>
class SummedBy final : public Summed<T> {
 public:
  SummedBy(const PairwiseCall& call, const Metric& metric) : metric_(metric) {
    this->scale = scale_of<Metric>(call);
    if constexpr (requires { metric.p; }) this->least = std::exp2(-900.0 / metric.p), this->most = std::exp2(900.0 / metric.p);
  }

  void measure(const T* a, const T* b, std::size_t depth, T* tile) const override {
    using V = Pack<T>;
    constexpr std::size_t size = Tile<T>::rows * Tile<T>::columns;
    alignas(simd::group_bytes) T totals[Metric::sums * size];
    accumulate<T>(metric_, a, b, depth, totals);
    for (std::size_t at = 0; at < size; at += V::lanes) {
      V sum[Metric::sums];
      for (std::size_t s = 0; s < Metric::sums; ++s) sum[s] = V::load(totals + s * size + at);
      metric_.finish(sum).store(tile + at);
    }
  }
  double in_float64(const double* x, const double* y, std::size_t depth) const override {
    Pack<double> sum[Metric::sums];
    sums_of_pair<double>(metric_, x, y, depth, sum);
    double distance[Pack<double>::lanes];
    metric_.finish(sum).store(distance);
    return distance[0];
  }
  double correct(const double* x, const double* y, std::size_t depth, double distance) const override {
    return corrected(metric_, x, y, depth, distance);
  }

 private:
  Metric metric_;
};

/// Rows in panels for such a metric. Nearest neighbours of float32 rows are ranked by sums in float64.
template <class T>
class Features {
 public:
  using V = Pack<T>;
  using Session = typename FullProducts<T>::Session;
  static constexpr std::size_t rows = Tile<T>::rows, columns = Tile<T>::columns;
  static constexpr bool rough = false;

  Features(const PairwiseCall& call, std::unique_ptr<const Summed<T>> metric, Interrupt& interrupt)
      : call_(call), metric_(std::move(metric)), x_(call.x.count, call.x.depth, rows), y_(call.y.count, call.y.depth, columns) {
    const auto pack = [&](const Matrix& all, Panels<T>& panels) {
      for_each_chunk(panels.panels(), call.threads, interrupt,
                     [&](std::size_t panel, int) { panels.pack(panel, [&](std::size_t row, T* to) { read(all, row, to); }); });
    };
    pack(call.x, x_);
    pack(call.y, y_);
  }

  Session session() const { return {}; }
  std::size_t x_panels() const { return x_.panels(); }
  std::size_t y_panels() const { return y_.panels(); }

  void accumulate(const Session&, std::size_t i, std::size_t j, T* tile) const {
    metric_->measure(x_.panel(i), y_.panel(j), call_.x.depth, tile);
    if (metric_->least < 0.0) return;
    for (std::size_t row = i * rows; row < std::min((i + 1) * rows, call_.x.count); ++row) {
      for (std::size_t column = j * columns; column < std::min((j + 1) * columns, call_.y.count); ++column) {
        T& distance = tile[(row - i * rows) * columns + column - j * columns];
        if (static_cast<double>(distance) > metric_->least && static_cast<double>(distance) < metric_->most) continue;
        distance = static_cast<T>(with_pair(row, column, [&](const double* x, const double* y) {
          return metric_->correct(x, y, call_.x.depth, static_cast<double>(distance));
        }));
      }
    }
  }
  void finish(std::size_t, std::size_t, T*) const {}
  T base(std::size_t) const { return 0; }
  PYLOSS_INLINE V beyond(std::size_t, const T* at) const { return V::load(at) * V(1.0 - doubt); }
  T slack(std::size_t, std::size_t, T lower) const { return doubt == 0.0 ? T{0} : lower * static_cast<T>(2.5 * doubt) + T{1e-30}; }
  T highest_lower(double radius) const {
    return radius <= static_cast<double>(std::numeric_limits<T>::max()) ? static_cast<T>(radius) : simd::infinity<T>;
  }
  double exact(std::size_t i, std::size_t j, T lower) const {
    if constexpr (sizeof(T) == 8) return lower;
    return with_pair(i, j, [&](const double* x, const double* y) { return metric_->in_float64(x, y, call_.x.depth); });
  }
  bool similarity() const { return false; }

 private:
  /// By how much a float32 sum may be off, generously: it only decides what is computed again.
  static constexpr double doubt = sizeof(T) == 4 ? 1e-4 : 0.0;

  template <class To>
  void read(const Matrix& all, std::size_t row, To* to) const {
    with_rows(all, [&](const auto* data) { read_scaled(data + row * all.stride, all.depth, metric_->scale, to); });
  }
  template <class Use>
  double with_pair(std::size_t i, std::size_t j, Use&& use) const {
    std::vector<double> both(2 * call_.x.depth);
    read(call_.x, i, both.data());
    read(call_.y, j, both.data() + call_.x.depth);
    return use(both.data(), both.data() + call_.x.depth);
  }

  const PairwiseCall& call_;
  std::unique_ptr<const Summed<T>> metric_;
  Panels<T> x_, y_;
};

/// Calls use(metric) for the sum over the features that the call names.
template <class Use>
bool with_metric(const PairwiseCall& call, Use&& use) {
  using namespace distances;
  const auto is = [&]<class Metric>(std::type_identity<Metric>) { return call.metric == Metric::name; };
  if (is(std::type_identity<Manhattan>{})) return use(Manhattan{});
  if (is(std::type_identity<Chebyshev>{})) return use(Chebyshev{});
  if (is(std::type_identity<Minkowski>{})) return use(Minkowski{{}, call.parameter});
  if (is(std::type_identity<Canberra>{})) return use(Canberra{});
  if (is(std::type_identity<BrayCurtis>{})) return use(BrayCurtis{});
  if (is(std::type_identity<Hamming>{})) return use(Hamming{{}, static_cast<double>(std::max<std::size_t>(call.x.depth, 1))});
  if (is(std::type_identity<Jaccard>{})) return use(Jaccard{});
  if (is(std::type_identity<JensenShannon>{})) return use(JensenShannon{});
  throw std::invalid_argument("unknown metric");
}

/// Calls use(engine) with what computes tiles of the call's metric.
template <class T, class Use>
bool with_engine(const PairwiseCall& call, Interrupt& interrupt, Use&& use) {
  Form form;
  if (form_of(call.metric, form)) return use(InnerProducts<T>(call, form, interrupt));
  std::unique_ptr<const Summed<T>> summed;
  with_metric(call, [&](const auto& metric) {
    summed = std::make_unique<SummedBy<T, std::remove_cvref_t<decltype(metric)>>>(call, metric);
    return true;
  });
  return use(Features<T>(call, std::move(summed), interrupt));
}

/// Rows of a unit on their way past the caches, whatever their alignment: whole lines leave at once, the rest of a row's last line waits
/// for the columns to its right.
template <class T>
class LinesOfRows {
 public:
  /// Row r goes to `to`, `stride` elements behind row r - 1.
  LinesOfRows(std::size_t count, T* to, std::size_t stride) : rows_(count), staged_(count * room) {
    for (std::size_t r = 0; r < count; ++r) rows_[r] = {to + r * stride, 0};
  }

  /// Appends to rows [begin, end): `from` has Tile<T>::columns numbers for each, of which `columns` count.
  void append(std::size_t begin, std::size_t end, const T* from, std::size_t columns) {
    for (std::size_t r = begin; r < end; ++r) {
      const T* const more = from + (r - begin) * Tile<T>::columns;
      Row& row = rows_[r];
      if (row.waiting == 0 && columns % line == 0 && misplaced(row.to) == 0) {
        for (std::size_t c = 0; c < columns; c += V::lanes) simd::stream(row.to + c, V::load(more + c).v);
        row.to += columns;
      } else {
        for (std::size_t c = 0; c < Tile<T>::columns; c += V::lanes) V::load(more + c).store(staged(r) + row.waiting + c);
        row.waiting += columns;
      }
    }
    // After all of them are stored: a load that spans two stores has to wait for both.
    for (std::size_t r = begin; r < end; ++r) {
      if (rows_[r].waiting != 0) send(rows_[r], staged(r));
    }
  }

  /// What is left.
  void finish() {
    for (std::size_t r = 0; r < rows_.size(); ++r) std::copy_n(staged(r), rows_[r].waiting, rows_[r].to);
  }

 private:
  using V = Pack<T>;
  static constexpr std::size_t line = simd::group<T>, room = Tile<T>::columns + 3 * line;
  struct Row {
    T* to;
    std::size_t waiting;
  };

  T* staged(std::size_t r) const { return staged_.data() + r * room; }
  /// How far into a line.
  static std::size_t misplaced(const T* to) { return reinterpret_cast<std::uintptr_t>(to) % simd::group_bytes / sizeof(T); }

  void send(Row& row, T* const first) {
    const T* from = first;
    const auto advance = [&](std::size_t count) { from += count, row.to += count, row.waiting -= count; };
    if (const std::size_t begun = misplaced(row.to)) {
      const std::size_t head = std::min(line - begun, row.waiting);
      std::copy_n(from, head, row.to);
      advance(head);
    }
    for (; row.waiting >= line; advance(line)) {
      for (std::size_t c = 0; c < line; c += V::lanes) simd::stream(row.to + c, V::load(from + c).v);
    }
    if (row.waiting == 0) return;
    for (std::size_t c = 0; c < line; c += V::lanes) V::load(from + c).store(first + c);
  }

  std::vector<Row> rows_;
  Buffer<T> staged_;
};

template <class T, class Engine>
bool write_all(const PairwiseCall& call, const Engine& engine, const View& out, Interrupt& interrupt) {
  constexpr std::size_t rows = Engine::rows, columns = Engine::columns;
  const std::size_t n = call.x.count, m = call.y.count;
  constexpr std::size_t i_step = unit_rows / rows, j_step = unit_columns / columns;
  const std::size_t i_units = divide_up(engine.x_panels(), i_step), j_units = divide_up(engine.y_panels(), j_step);
  T* const there = out.template direct<T>() ? out.template pointer<T>(0) : nullptr;
  const bool streams = there && !call.self && n * m * sizeof(T) >= stream_from;
  const auto put = [&](std::size_t i, std::size_t j, std::size_t count, const T* from) PYLOSS_INLINE_LAMBDA {
    if (there) {
      std::copy(from, from + count, there + i * m + j);
    } else {
      out.write(i * m + j, count, from);
    }
  };
  return for_each_chunk(i_units * j_units, call.threads, interrupt, [&](std::size_t unit, int) {
    alignas(simd::group_bytes) T tile[rows * columns];
    T column[rows];
    const std::size_t i_unit = unit / j_units * i_step, j_unit = unit % j_units * j_step;
    std::optional<LinesOfRows<T>> lines;
    if (streams) lines.emplace(std::min(unit_rows, n - i_unit * rows), there + i_unit * rows * m + j_unit * columns, m);
    for (std::size_t pj = j_unit; pj < std::min(j_unit + j_step, engine.y_panels()); ++pj) {
      for (std::size_t pi = i_unit; pi < std::min(i_unit + i_step, engine.x_panels()); ++pi) {
        const std::size_t i0 = pi * rows, j0 = pj * columns, i_end = std::min(i0 + rows, n), j_end = std::min(j0 + columns, m);
        if (call.self && j_end <= i0) continue;
        engine.accumulate({}, pi, pj, tile);
        engine.finish(pi, pj, tile);
        if (streams) {
          lines->append(i0 - i_unit * rows, i_end - i_unit * rows, tile, j_end - j0);
          continue;
        }
        if (!call.self) {
          for (std::size_t i = i0; i < i_end; ++i) put(i, j0, j_end - j0, tile + (i - i0) * columns);
          continue;
        }
        // The half above the diagonal; what is below it is a mirror image.
        for (std::size_t i = i0; i < i_end; ++i) {
          const std::size_t begin = std::max(i, j0);
          if (begin >= j_end) continue;
          if (begin == i && !engine.similarity()) tile[(i - i0) * columns + i - j0] = 0;
          put(i, begin, j_end - begin, tile + (i - i0) * columns + begin - j0);
        }
        for (std::size_t j = j0; j < j_end; ++j) {
          const std::size_t end = std::min(i_end, j);
          if (end <= i0) continue;
          for (std::size_t i = i0; i < end; ++i) column[i - i0] = tile[(i - i0) * columns + j - j0];
          if (there) {
            std::copy(column, column + (end - i0), there + j * m + i0);
          } else {
            out.write(j * m + i0, end - i0, column);
          }
        }
      }
    }
    if (streams) lines->finish();
  });
}

/// The nearest of one row so far: those that may still be among the k nearest, by bounds of what they are ranked by.
template <class T>
class Candidates {
 public:
  explicit Candidates(std::size_t k) : k_(k), room_(2 * k + 32) {
    entries_.reserve(room_);
    uppers_.reserve(k);
  }

  /// Whatever is surely above this is out.
  T limit() const { return limit_; }

  template <class Exact>
  void add(T lower, T slack, std::size_t index, Exact&& exact) {
    // In rare roundings a lower bound may be above the limit.
    if (lower > limit_) return;
    T upper = lower + slack;
    if (!(upper == upper)) upper = simd::infinity<T>;
    entries_.push_back({lower, 0.0, static_cast<std::int64_t>(index), false});
    bound(upper);
    if (entries_.size() == room_) tidy(exact);
  }

  /// Leaves the nearest, in order of distance, then of index.
  template <class Exact>
  void finish(Exact&& exact) {
    std::erase_if(entries_, [&](const Entry& entry) { return entry.lower > limit_; });
    rank(exact);
  }

  std::size_t size() const { return entries_.size(); }
  double distance(std::size_t rank) const { return entries_[rank].exact; }
  std::int64_t index(std::size_t rank) const { return entries_[rank].index; }

  /// Adds those of other columns; then finish() as before.
  void merge(const Candidates& other) {
    entries_.insert(entries_.end(), other.entries_.begin(), other.entries_.end());
    limit_ = std::min(limit_, other.limit_);
  }

 private:
  struct Entry {
    T lower;
    double exact;
    std::int64_t index;
    bool known;
  };

  /// The limit is the k-th least upper bound.
  void bound(T upper) {
    if (uppers_.size() < k_) {
      uppers_.push_back(upper);
      std::push_heap(uppers_.begin(), uppers_.end());
    } else if (upper < uppers_.front()) {
      std::pop_heap(uppers_.begin(), uppers_.end());
      uppers_.back() = upper;
      std::push_heap(uppers_.begin(), uppers_.end());
    }
    if (uppers_.size() == k_) limit_ = uppers_.front();
  }

  template <class Exact>
  void tidy(Exact&& exact) {
    std::erase_if(entries_, [&](const Entry& entry) { return entry.lower > limit_; });
    // If many are so near to each other that the bounds cannot tell, only the distances themselves can.
    if (entries_.size() > k_ + 16) rank(exact);
  }

  template <class Exact>
  void rank(Exact&& exact) {
    for (Entry& entry : entries_) {
      if (!entry.known) entry.exact = exact(static_cast<std::size_t>(entry.index), entry.lower), entry.known = true;
    }
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
      const bool a_nan = std::isnan(a.exact), b_nan = std::isnan(b.exact);
      if (a_nan != b_nan) return b_nan;
      return a.exact < b.exact || (!(b.exact < a.exact) && a.index < b.index);
    });
    if (entries_.size() > k_) entries_.resize(k_);
  }

  std::size_t k_, room_;
  T limit_ = simd::infinity<T>;
  std::vector<T> uppers_;  // a heap, the largest first
  std::vector<Entry> entries_;
};

/// Calls hit(i, j, lower) for every pair of the panels whose lower bound is not above limit(i).
template <class T, class Engine, class Limit, class Hit>
PYLOSS_INLINE void for_each_hit(const PairwiseCall& call, const Engine& engine, const typename Engine::Session& session, std::size_t pi,
                                std::size_t pj, T* tile, Limit&& limit, Hit&& hit) {
  using V = Pack<T>;
  constexpr std::size_t rows = Engine::rows, columns = Engine::columns, packs = columns / V::lanes;
  engine.accumulate(session, pi, pj, tile);
  const std::size_t i0 = pi * rows, j0 = pj * columns, i_end = std::min(i0 + rows, call.x.count);
  for (std::size_t i = i0; i < i_end; ++i) {
    const T* const at = tile + (i - i0) * columns;
    const T base = engine.base(i);
    const V most = V::all(limit(i) - base);
    V beyond[packs];
    simd::Mask<T> hits[packs], any = {};
    unrolled<packs>([&](auto p) PYLOSS_INLINE_LAMBDA {
      beyond[p] = engine.beyond(j0 + p * V::lanes, at + p * V::lanes);
      hits[p] = !(beyond[p] > most);
      any = any | hits[p];
    });
    if (bits_of(any) == 0) [[likely]]
      continue;
    unrolled<packs>([&](auto p) PYLOSS_INLINE_LAMBDA {
      T values[V::lanes];
      beyond[p].store(values);
      for (unsigned bits = bits_of(hits[p]); bits; bits &= bits - 1) {
        const std::size_t lane = static_cast<std::size_t>(std::countr_zero(bits)), j = j0 + p * V::lanes + lane;
        if (j < call.y.count && !(call.self && i == j)) hit(i, j, base + values[lane]);
      }
    });
  }
}

/// Which rows of x a search has still to answer. A rough engine leaves those for which it lets too many pairs pass.
using OpenRows = std::vector<std::uint8_t>;

bool any_open(const OpenRows& open, std::size_t begin, std::size_t end) {
  return std::any_of(open.begin() + static_cast<std::ptrdiff_t>(begin), open.begin() + static_cast<std::ptrdiff_t>(end),
                     [](std::uint8_t each) { return each != 0; });
}

/// When a rough engine gives up: on a unit, once more pairs pass than would be worth it, and altogether, once it has on most units.
template <class Engine>
class Patience {
 public:
  /// Whether another unit is worth a try.
  bool left() const {
    if constexpr (!Engine::rough) return true;
    const std::size_t lost = lost_.load(std::memory_order_relaxed);
    return lost < 4 || 2 * lost < tried_.load(std::memory_order_relaxed);
  }
  /// Whether so many pairs for each of so many rows, of those with so many columns, are too many beside `welcome` ones for each row.
  bool ends(std::size_t pairs, std::size_t rows, std::size_t columns, double welcome) const {
    if constexpr (!Engine::rough) return false;
    // Each costs about as much as 30 pairs in the full engine's tile; the first tile of columns always passes.
    const double vain = static_cast<double>(Engine::columns) + static_cast<double>(columns) / 128.0;
    return static_cast<double>(pairs) > static_cast<double>(rows) * (vain + welcome);
  }
  void count(bool lost) {
    tried_.fetch_add(1, std::memory_order_relaxed);
    if (lost) lost_.fetch_add(1, std::memory_order_relaxed);
  }

 private:
  std::atomic<std::size_t> tried_{0}, lost_{0};
};

template <class T, class Engine>
bool find_nearest(const PairwiseCall& call, const Engine& engine, const Nearest& out, OpenRows& open, Interrupt& interrupt) {
  constexpr std::size_t rows = Engine::rows;
  const std::size_t n = call.x.count;
  // Few rows of x are shared out by columns; the nearest do not depend on how.
  const std::size_t most_strips = divide_up(engine.x_panels(), unit_rows / rows);
  const std::size_t i_step = most_strips >= 16 ? unit_rows / rows : 1;
  const std::size_t strips = divide_up(engine.x_panels(), i_step);
  const std::size_t segments = strips >= 16 ? 1 : std::clamp<std::size_t>(engine.y_panels() / 32, 1, 16);
  const std::size_t j_step = divide_up(engine.y_panels(), segments);
  std::vector<std::vector<Candidates<T>>> best(strips * segments);  // of each unit, a row's
  const double sign = engine.similarity() ? -1.0 : 1.0;
  const auto exact_of = [&](std::size_t i) {
    return [&engine, i, sign](std::size_t j, T lower) { return sign * engine.exact(i, j, lower); };
  };

  Patience<Engine> patience;
  const auto finish = [&](std::size_t strip) {
    const auto units = std::span(best).subspan(strip * segments, segments);
    if (std::any_of(units.begin(), units.end(), [](const auto& each) { return each.empty(); })) return;
    for (std::size_t r = 0; r < best[strip * segments].size(); ++r) {
      const std::size_t i = strip * i_step * rows + r;
      Candidates<T>& all = best[strip * segments][r];
      for (std::size_t s = 1; s < segments; ++s) all.merge(best[strip * segments + s][r]);
      all.finish(exact_of(i));
      for (std::size_t rank = 0; rank < all.size(); ++rank) {
        out.distances[i * out.k + rank] = sign * all.distance(rank);
        out.indices[i * out.k + rank] = all.index(rank);
      }
      open[i] = 0;
    }
    for (auto& each : units) each = {};
  };
  const bool done = for_each_chunk(strips * segments, call.threads, interrupt, [&](std::size_t unit, int) {
    alignas(simd::group_bytes) T tile[Engine::rows * Engine::columns];
    const std::size_t strip = unit / segments, first = strip * i_step * rows;
    const std::size_t count = std::min(i_step * rows, n - first);
    if (!any_open(open, first, first + count) || !patience.left()) return;
    const typename Engine::Session session = engine.session();
    auto& own = best[unit];
    own.assign(count, Candidates<T>(out.k));
    const std::size_t begin = unit % segments * j_step, end = std::min(begin + j_step, engine.y_panels());
    // What passes until the nearest are found, in random order.
    const auto welcome = [k = static_cast<double>(out.k)](std::size_t seen) {
      return 2.0 * k * (1.0 + std::log1p(static_cast<double>(seen) / k));
    };
    std::size_t hits = 0;
    for (std::size_t pj = begin; pj < end && !interrupt.requested(); ++pj) {
      const std::size_t seen = (pj - begin) * Engine::columns;
      // The logarithm takes as long as the scan of some tiles.
      if (Engine::rough && (pj - begin) % 4 == 0 && patience.ends(hits, count, seen, welcome(seen))) {
        own.clear();
        break;
      }
      for (std::size_t pi = strip * i_step; pi < std::min((strip + 1) * i_step, engine.x_panels()); ++pi) {
        for_each_hit<T>(
            call, engine, session, pi, pj, tile, [&](std::size_t i) PYLOSS_INLINE_LAMBDA { return own[i - first].limit(); },
            [&](std::size_t i, std::size_t j, T lower) {
              ++hits;
              own[i - first].add(lower, engine.slack(i, j, lower), j, exact_of(i));
            });
      }
    }
    patience.count(own.empty());
    if (segments == 1) finish(strip);
  });
  if (done && segments > 1) {
    for (std::size_t strip = 0; strip < strips; ++strip) finish(strip);
  }
  return done;
}

template <class T, class Engine>
bool find_within(const PairwiseCall& call, const Engine& engine, double radius, Neighbours& out, OpenRows& open, Interrupt& interrupt) {
  constexpr std::size_t rows = Engine::rows;
  Patience<Engine> patience;
  // Distances that come out as the radius may be above it by half of the least float32.
  const T limit = engine.highest_lower(call.float64 || engine.similarity() ? radius : radius + 0x1p-150);
  return for_each_chunk(engine.x_panels(), call.threads, interrupt, [&](std::size_t pi, int) {
    alignas(simd::group_bytes) T tile[rows * Engine::columns];
    const std::size_t first = pi * rows, last = std::min(first + rows, call.x.count);
    if (!any_open(open, first, last) || !patience.left()) return;
    const auto clear = [&] {
      for (std::size_t i = first; i < last; ++i) out.indices[i].clear(), out.distances[i].clear();
    };
    const typename Engine::Session session = engine.session();
    clear();
    std::size_t in_vain = 0;
    for (std::size_t pj = 0; pj < engine.y_panels() && !interrupt.requested(); ++pj) {
      if (patience.ends(in_vain, last - first, pj * Engine::columns, 0.0)) {
        patience.count(true);
        return clear();
      }
      for_each_hit<T>(
          call, engine, session, pi, pj, tile, [&](std::size_t) PYLOSS_INLINE_LAMBDA { return limit; },
          [&](std::size_t i, std::size_t j, T lower) {
            const double distance = engine.exact(i, j, lower);
            // As the caller will see it: a distance found before is within itself.
            const double shown = call.float64 ? distance : static_cast<double>(static_cast<float>(distance));
            if (engine.similarity() ? shown >= radius : shown <= radius) {
              out.indices[i].push_back(static_cast<std::int64_t>(j));
              out.distances[i].push_back(distance);
            } else {
              ++in_vain;
            }
          });
    }
    patience.count(false);
    std::fill(open.begin() + static_cast<std::ptrdiff_t>(first), open.begin() + static_cast<std::ptrdiff_t>(last), std::uint8_t{0});
  });
}

/// Calls search(engine, open) by a rough engine where there is one, then by a full one for the rows that are left.
template <class T, class Search>
bool search_rows(const PairwiseCall& call, Interrupt& interrupt, Search&& search) {
  OpenRows open(call.x.count, 1);
#if defined(PYLOSS_BFLOAT16)
  Form form;
  if constexpr (std::is_same_v<T, float>) {
    if (Bfloat16Products::pay(call.x.count, call.y.count, call.x.depth, call.threads) && form_of(call.metric, form)) {
      if (!search(InnerProducts<float, Bfloat16Products>(call, form, interrupt), open)) return false;
      if (!any_open(open, 0, open.size())) return true;
    }
  }
#endif
  return with_engine<T>(call, interrupt, [&](const auto& engine) { return search(engine, open); });
}

template <class T, class Metric>
bool paired(const PairwiseCall& call, const Metric& metric, double* out, Interrupt& interrupt) {
  constexpr std::size_t chunk = 256;
  const std::size_t n = call.x.count, depth = call.x.depth;
  const double scale = scale_of<Metric>(call);
  const T *const x = static_cast<const T*>(call.x.data), *const y = static_cast<const T*>(call.y.data);
  return for_each_chunk(divide_up(n, chunk), call.threads, interrupt, [&](std::size_t unit, int) {
    std::vector<T> both(2 * depth);
    for (std::size_t i = unit * chunk; i < std::min(n, (unit + 1) * chunk); ++i) {
      read_scaled(x + i * call.x.stride, depth, scale, both.data());
      read_scaled(y + i * call.y.stride, depth, scale, both.data() + depth);
      Pack<T> sum[Metric::sums];
      sums_of_pair<T>(metric, both.data(), both.data() + depth, depth, sum);
      T distance[Pack<T>::lanes];
      metric.finish(sum).store(distance);
      out[i] = corrected(metric, both.data(), both.data() + depth, depth, static_cast<double>(distance[0]));
    }
  });
}

template <class T, class Metric>
bool vjp(const PairwiseCall& call, const Metric& metric, const View& cotangent, double* grad, Interrupt& interrupt) {
  using V = Pack<T>;
  constexpr std::size_t segment = 64;
  const std::size_t n = call.x.count, m = call.y.count, depth = call.x.depth;
  const T *const all_x = static_cast<const T*>(call.x.data), *const all_y = static_cast<const T*>(call.y.data);
  return for_each_chunk(n, call.threads, interrupt, [&](std::size_t i, int) {
    const T* const x = all_x + i * call.x.stride;
    double* const total = grad + i * depth;
    std::vector<T> part(depth);
    T factors[segment];
    std::fill(total, total + depth, 0.0);
    for (std::size_t begin = 0; begin < m && !interrupt.requested(); begin += segment) {
      const std::size_t count = std::min(segment, m - begin);
      cotangent.read(i * m + begin, count, factors);
      std::fill(part.begin(), part.end(), T{0});
      for (std::size_t c = 0; c < count; ++c) {
        if (factors[c] == 0) continue;
        const T* const y = all_y + (begin + c) * call.y.stride;
        V sum[Metric::sums];
        sums_of_pair<T>(metric, x, y, depth, sum);
        const V distance = metric.finish(sum);
        V factor = V::all(factors[c]);
        if constexpr (std::is_same_v<Metric, distances::Chebyshev>) {
          simd::Sum<T> ties;
          simd::for_each_pack<T>(depth, [&](std::size_t k, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
            ties.add(place, lanes.or_zero(abs(metric.slope(sum, distance, lanes.load(x + k), lanes.load(y + k)))));
          });
          factor = distances::ratio(factor, V(ties.total()));
        }
        simd::for_each_pack<T>(depth, [&](std::size_t k, auto, auto lanes) PYLOSS_INLINE_LAMBDA {
          const V slope = metric.slope(sum, distance, lanes.load(x + k), lanes.load(y + k));
          lanes.store(part.data() + k, fma(factor, slope, lanes.load(part.data() + k)));
        });
      }
      for (std::size_t k = 0; k < depth; ++k) total[k] += static_cast<double>(part[k]);
    }
  });
}

/// The largest magnitude; NaN if one of the numbers is not finite.
double largest_or_nan(const double* x, std::size_t depth) {
  using V = Pack<double>;
  V largest = 0.0, probe = 0.0;
  simd::for_each_pack<double>(depth, [&](std::size_t k, auto, auto lanes) PYLOSS_INLINE_LAMBDA {
    const V a = lanes.load(x + k);
    largest = max(largest, abs(a));
    probe += a * 0.0;
  });
  double most[V::lanes], bad[V::lanes];
  largest.store(most);
  probe.store(bad);
  return *std::max_element(most, most + V::lanes) + std::accumulate(bad, bad + V::lanes, 0.0);
}

/// Writes a row's direction, and behind it whether it has none.
template <class T>
void write_direction(const T* row, std::size_t depth, bool centred, double* to) {
  const auto multiply = [&](auto&& change) PYLOSS_INLINE_LAMBDA {
    for (std::size_t k = 0; k < depth; ++k) to[k] = change(to[k]);
  };
  std::copy(row, row + depth, to);
  to[depth] = 0.0;
  double largest = largest_or_nan(to, depth);
  if (centred && largest == largest) {
    // The rounded mean of equal numbers need not be that number.
    if (std::all_of(row, row + depth, [&](T a) { return a == row[0]; })) {
      std::fill_n(to, depth, 0.0);
    } else {
      // The sum of the largest would overflow.
      if (largest > 0x1p960) multiply([](double a) { return a * 0x1p-64; });
      const double sum = sum_by_runs(depth, [&](std::size_t begin, std::size_t length) PYLOSS_INLINE_LAMBDA {
        simd::Sum<double> of_run;
        simd::for_each_pack<double>(
            length, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA { of_run.add(place, lanes.load(to + begin + i)); });
        return of_run.total();
      });
      const double mean = sum / static_cast<double>(depth);
      multiply([mean](double a) { return a - mean; });
    }
    largest = largest_or_nan(to, depth);
  }
  if (largest != largest) return std::fill_n(to, depth, largest), void();
  if (largest == 0.0) return to[depth] = 1.0, void();
  multiply([largest](double a) { return a / largest; });
  const double length = std::sqrt(inner_product(to, to, depth));
  multiply([length](double a) { return a / length; });
}

template <class Use>
bool with_scalar(bool float64, Use&& use) {
  return float64 ? use(double{}) : use(float{});
}

}  // namespace

bool run_directions(const Matrix& rows, bool centred, int threads, double* out, Interrupt& interrupt) {
  constexpr std::size_t chunk = 64;
  return for_each_chunk(divide_up(rows.count, chunk), threads, interrupt, [&](std::size_t unit, int) {
    with_rows(rows, [&](const auto* data) {
      for (std::size_t i = unit * chunk; i < std::min(rows.count, (unit + 1) * chunk); ++i) {
        write_direction(data + i * rows.stride, rows.depth, centred, out + i * (rows.depth + 1));
      }
    });
  });
}

bool run_pairwise(const PairwiseCall& call, const View& out, Interrupt& interrupt) {
  return with_scalar(call.float64, [&](auto scalar) {
    using T = decltype(scalar);
    return with_engine<T>(call, interrupt, [&](const auto& engine) { return write_all<T>(call, engine, out, interrupt); });
  });
}

bool run_nearest(const PairwiseCall& call, const Nearest& out, Interrupt& interrupt) {
  return with_scalar(call.float64, [&](auto scalar) {
    using T = decltype(scalar);
    return search_rows<T>(call, interrupt,
                          [&](const auto& engine, OpenRows& open) { return find_nearest<T>(call, engine, out, open, interrupt); });
  });
}

bool run_within(const PairwiseCall& call, double radius, Neighbours& out, Interrupt& interrupt) {
  return with_scalar(call.float64, [&](auto scalar) {
    using T = decltype(scalar);
    out.indices.resize(call.x.count);
    out.distances.resize(call.x.count);
    return search_rows<T>(call, interrupt,
                          [&](const auto& engine, OpenRows& open) { return find_within<T>(call, engine, radius, out, open, interrupt); });
  });
}

bool run_paired(const PairwiseCall& call, double* out, Interrupt& interrupt) {
  Form form;
  if (!form_of(call.metric, form)) {
    return with_scalar(call.x.float64, [&](auto scalar) {
      return with_metric(call, [&](const auto& metric) { return paired<decltype(scalar)>(call, metric, out, interrupt); });
    });
  }
  constexpr std::size_t chunk = 256;
  const std::size_t n = call.x.count, depth = call.x.depth;
  return for_each_chunk(divide_up(n, chunk), call.threads, interrupt, [&](std::size_t unit, int) {
    with_rows(call.x, [&](const auto* x) {
      const auto* const y = static_cast<decltype(x)>(call.y.data);
      for (std::size_t i = unit * chunk; i < std::min(n, (unit + 1) * chunk); ++i) {
        out[i] = form == Form::inner ? inner_product(x + i * call.x.stride, y + i * call.y.stride, depth)
                                     : distance_of(form, square_distance(x + i * call.x.stride, y + i * call.y.stride, depth));
      }
    });
  });
}

bool run_pairwise_vjp(const PairwiseCall& call, const View& cotangent, double* grad, Interrupt& interrupt) {
  return with_scalar(call.x.float64, [&](auto scalar) {
    using T = decltype(scalar);
    const auto run = [&](const auto& metric) {
      if constexpr (std::remove_cvref_t<decltype(metric)>::differentiable) return vjp<T>(call, metric, cotangent, grad, interrupt);
      throw std::invalid_argument("the metric has no derivative");
      return false;
    };
    if (call.metric == distances::Euclidean::name) return run(distances::Euclidean{});
    if (call.metric == distances::SquaredEuclidean::name) return run(distances::SquaredEuclidean{});
    if (call.metric == distances::Cosine::name) return run(distances::Cosine{});
    if (call.metric == distances::Arc::name) return run(distances::Arc{});
    if (call.metric == distances::Inner::name) return run(distances::Inner{});
    return with_metric(call, run);
  });
}

}  // namespace pyloss
