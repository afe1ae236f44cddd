#include "embedding.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "../losses/registry.hpp"
#include "inner_products.hpp"
#include "prepared.hpp"

namespace pyloss {

namespace {

using simd::Pack;

/// A loss as the engine sees it.
template <class T>
class RowLoss {
 public:
  virtual ~RowLoss() = default;
  virtual AnchorTerm term(Anchor<T>& anchor) const = 0;
  virtual bool has_statistic() const { return false; }
  virtual double statistic(Anchor<T>&) const { return 0.0; }

  Measure measure{};
};

template <class T, class Loss>
class RowLossOf final : public RowLoss<T> {
 public:
  RowLossOf(const Loss& loss, Measure by) : loss_(loss) { this->measure = by; }
  AnchorTerm term(Anchor<T>& anchor) const override { return loss_(anchor); }
  bool has_statistic() const override {
    if constexpr (requires { loss_.has_statistic(); }) return loss_.has_statistic();
    return requires(Anchor<T>& anchor) { loss_.statistic(anchor); };
  }
  double statistic(Anchor<T>& anchor) const override {
    if constexpr (requires { loss_.statistic(anchor); }) return loss_.statistic(anchor);
    return 0.0;
  }

 private:
  Loss loss_;
};

template <class T>
std::unique_ptr<RowLoss<T>> make_loss(const EmbeddingCall& call) {
  return with_named(call.loss, Embedding{}, [&]<class Loss>() -> std::unique_ptr<RowLoss<T>> {
    return std::make_unique<RowLossOf<T, Loss>>(with_parameters<Loss>(call.parameters), measure_of<Loss>(call.metric));
  });
}

/// The farthest positive and the nearest negative of an anchor; index -1 where there is none yet.
template <class T>
struct Hardest {
  T far = -simd::infinity<T>, near = simd::infinity<T>, far_at = -1, near_at = -1;

  /// Of equal distances the lower index counts.
  void add(const Hardest& other) {
    if (other.near_at >= 0 && (other.near < near || (other.near == near && (near_at < 0 || other.near_at < near_at)))) {
      near = other.near;
      near_at = other.near_at;
    }
    if (other.far_at >= 0 && (other.far > far || (other.far == far && (far_at < 0 || other.far_at < far_at)))) {
      far = other.far;
      far_at = other.far_at;
    }
  }
};

/// Anchors against others: the values of a slab of anchors, and what a loss makes of them.
template <class T>
class Slabs {
 public:
  static constexpr std::size_t rows = Tile<T>::rows, columns = Tile<T>::columns;

  Slabs(const RowLoss<T>& loss, const Prepared<T>& x, const std::int64_t* x_labels, const Prepared<T>& y, const std::int64_t* y_labels,
        bool self, double scale, int threads, Interrupt& interrupt)
      : loss_(loss),
        x_(x),
        y_(y),
        self_(self),
        scale_(scale),
        threads_(threads),
        interrupt_(interrupt),
        call_{.x = x.rows(), .y = y.rows(), .self = self, .float64 = sizeof(T) == 8, .threads = threads},
        products_(call_, loss.measure.form, interrupt),
        width_(width_of(y.count)),
        height_(height_of(x.count, width_)),
        x_labels_(x_labels),
        labels_(width_),
        side_by_side_(static_cast<std::size_t>(threads)),
        own_labels_(static_cast<std::size_t>(threads)),
        scratch_(static_cast<std::size_t>(threads)) {
    std::fill_n(labels_.data(), width_, std::numeric_limits<T>::quiet_NaN());
    for (std::size_t j = 0; j < y.count; ++j) {
      const std::int64_t label = y_labels[j];
      labels_.data()[j] = static_cast<T>(label);
      if (static_cast<std::size_t>(label) >= class_sizes_.size()) class_sizes_.resize(static_cast<std::size_t>(label) + 1, 0.0);
      class_sizes_[static_cast<std::size_t>(label)] += 1.0;
    }
  }

  /// Of a slab's rows: whole tiles of any level. Multiples of a page would share a few sets of the caches.
  static std::size_t width_of(std::size_t others) {
    const std::size_t width = divide_up(divide_up(others, 12) * 12, 64) * 64;
    return width * sizeof(T) % 4096 == 0 ? width + 64 : width;
  }

  std::size_t height() const { return height_; }
  /// Whether an anchor of this batch has both positives and negatives.
  bool has_both(std::size_t i) const {
    const double alike = class_sizes_[static_cast<std::size_t>(x_labels_[i])];
    return alike > 1.0 && alike < static_cast<double>(y_.count);
  }

  /// What gradients by anchors want beforehand: the others' features in panels. False if interrupted.
  bool reserve_gradients() {
    y_features_ = Panels<T>(y_.stride, y_.count, columns);
    return pack_features(y_, 0, y_.count, y_features_);
  }
  /// And those by the others: a slab, and memory to pack it and its anchors in.
  void reserve_slab() {
    slab_ = Buffer<T>(width_ * height_);
    x_features_ = Panels<T>(x_.stride, height_, columns);
    for (Buffer<T>& each : side_by_side_) each = Buffer<T>(others_at_once * height_);
  }
  T* row(std::size_t i) { return slab_.data() + i * width_; }

  /// Distances or similarities of anchors [begin, end) to all others. `begin` is a multiple of height().
  bool measure(std::size_t begin, std::size_t end) {
    constexpr std::size_t group = 8;  // panels of columns
    return for_each_chunk(divide_up(products_.y_panels(), group), threads_, interrupt_, [&](std::size_t unit, int) {
      measure_panels(begin, end, unit * group, std::min((unit + 1) * group, products_.y_panels()), slab_.data());
    });
  }

  /// Calls use(anchor) for the anchors [begin, end), measured before.
  template <class Use>
  bool for_each_anchor(std::size_t begin, std::size_t end, const T* statistics, Use&& use) {
    return for_each_chunk(end - begin, threads_, interrupt_,
                          [&](std::size_t i, int thread) { with_anchor(begin + i, row(i), statistics, thread, use); });
  }

  /// Adds the gradients by anchors [begin, end) to grad, rows of `depth`.
  bool carry_to_anchors(std::size_t begin, std::size_t end, T* grad) {
    const std::size_t chunk = std::clamp<std::size_t>((end - begin) / (3 * rows * static_cast<std::size_t>(threads_)), 1, 8) * rows;
    return for_each_chunk(divide_up(end - begin, chunk), threads_, interrupt_, [&](std::size_t unit, int) {
      carry_to_rows(begin + unit * chunk, std::min(begin + (unit + 1) * chunk, end), row(unit * chunk), grad);
    });
  }

  /// All three for all anchors, where nothing goes to the others: without a slab in common, threads need not wait for each other.
  template <class Use>
  bool each_by_itself(const T* statistics, T* grad, Use&& use) {
    const std::size_t fit = (std::size_t{2} << 20) / (sizeof(T) * std::max<std::size_t>(width_, 1));
    const std::size_t block = std::clamp<std::size_t>(fit / 12, 1, 8) * 12;
    std::vector<Buffer<T>> own(static_cast<std::size_t>(threads_));
    return for_each_chunk(divide_up(x_.count, block), threads_, interrupt_, [&](std::size_t unit, int thread) {
      Buffer<T>& values = own[static_cast<std::size_t>(thread)];
      if (!values.data()) values = Buffer<T>(block * width_);
      const std::size_t begin = unit * block, end = std::min(begin + block, x_.count);
      measure_panels(begin, end, 0, products_.y_panels(), values.data());
      for (std::size_t i = begin; i < end && !(thread == 0 ? interrupt_.check() : interrupt_.requested()); ++i) {
        with_anchor(i, values.data() + (i - begin) * width_, statistics, thread, use);
      }
      if (grad) carry_to_rows(begin, end, values.data(), grad);
    });
  }

  /// Adds the gradients by all others, as far as anchors [begin, end) cause them, to grad, rows of `depth`.
  bool carry_to_others(std::size_t begin, std::size_t end, T* grad) {
    if (!pack_features(x_, begin, end, x_features_)) return false;
    const bool inner = loss_.measure.form == Form::inner;
    const std::size_t depth = y_.depth, stride = x_.stride, count = end - begin;
    return for_each_chunk(divide_up(y_.count, others_at_once), threads_, interrupt_, [&](std::size_t unit, int thread) {
      const std::size_t first = unit * others_at_once, last = std::min(first + others_at_once, y_.count),
                        used = divide_up(last - first, rows);
      T* const panels = side_by_side_[static_cast<std::size_t>(thread)].data();
      T sums[others_at_once] = {};
      for (std::size_t i = 0; i < count; ++i) {
        const T* const values = row(i) + first;
        for (std::size_t j = 0; j < others_at_once; j += line) __builtin_prefetch(values + 8 * width_ + j);
        for (std::size_t p = 0; p < used; ++p) std::memcpy(panels + (p * count + i) * rows, values + p * rows, sizeof(T) * rows);
        if (!inner) {
          for (std::size_t j = 0; j < used * rows; ++j) sums[j] += values[j];
        }
      }
      Buffer<T> total(others_at_once * stride);
      multiply(count, used, x_features_, total.data(),
               [&](std::size_t panel, std::size_t k) { return SideBySide<T, Height>{panels + (panel * count + k) * rows, {}}; });
      for (std::size_t j = first; j < last; ++j) {
        const T* const own = y_.row(j);
        const T* const from = total.data() + (j - first) * stride;
        T* const to = grad + j * depth;
        if (inner) {
          for (std::size_t k = 0; k < depth; ++k) to[k] += from[k];
        } else {
          for (std::size_t k = 0; k < depth; ++k) to[k] += sums[j - first] * own[k] - from[k];
        }
      }
    });
  }

  /// Of each anchor its farthest positive and its nearest negative; false if interrupted. Every pair is measured once, for both its ends.
  bool find_hardest(std::vector<Hardest<T>>& hardest) {
    constexpr std::size_t strip = 8;  // panels of rows
    std::vector<Hardest<T>> of_rows(x_.count);
    std::vector<Best> best(static_cast<std::size_t>(threads_));
    const bool done = for_each_chunk(divide_up(products_.x_panels(), strip), threads_, interrupt_, [&](std::size_t unit, int thread) {
      Best& columns_best = best[static_cast<std::size_t>(thread)];
      if (!columns_best.near.data()) columns_best = Best(width_);
      Best rows_best(strip * rows * V::lanes);
      alignas(simd::group_bytes) T tile[rows * columns];
      const std::size_t begin = unit * strip, end = std::min(begin + strip, products_.x_panels());
      for (std::size_t pj = begin * rows / columns; pj < products_.y_panels(); ++pj) {
        for (std::size_t pi = begin; pi < end && pi * rows < (pj + 1) * columns; ++pi) {
          products_.accumulate({}, pi, pj, tile);
          products_.finish(pi, pj, tile);
          for (std::size_t r = 0; r < rows && pi * rows + r < x_.count; ++r) {
            compare(pi * rows + r, pj * columns, tile + r * columns, rows_best, ((pi - begin) * rows + r) * V::lanes, columns_best);
          }
        }
      }
      for (std::size_t i = begin * rows; i < std::min(end * rows, x_.count); ++i) {
        for (std::size_t lane = 0; lane < V::lanes; ++lane) of_rows[i].add(rows_best.at((i - begin * rows) * V::lanes + lane));
      }
    });
    for (std::size_t i = 0; i < x_.count; ++i) {
      for (const Best& each : best) {
        if (each.near.data()) of_rows[i].add(each.at(i));
      }
    }
    hardest = std::move(of_rows);
    return done;
  }

 private:
  using V = Pack<T>;
  using Height = std::integral_constant<std::size_t, rows>;
  static constexpr std::size_t others_at_once = 8 * rows, line = 64 / sizeof(T);

  /// Values and indices of the nearest negatives and farthest positives so far.
  struct Best {
    Buffer<T> near, near_at, far, far_at;

    Best() = default;
    explicit Best(std::size_t size) : near(size), near_at(size), far(size), far_at(size) {
      std::fill_n(near.data(), size, simd::infinity<T>);
      std::fill_n(far.data(), size, -simd::infinity<T>);
      std::fill_n(near_at.data(), size, T{-1});
      std::fill_n(far_at.data(), size, T{-1});
    }
    Hardest<T> at(std::size_t i) const { return {far.data()[i], near.data()[i], far_at.data()[i], near_at.data()[i]}; }
  };

  /// Takes the pairs of anchor i with the columns of a tile from j0 on, as far as they are behind it, into account.
  PYLOSS_INLINE void compare(std::size_t i, std::size_t j0, const T* tile, Best& of_rows, std::size_t row_at, Best& of_columns) const {
    const V own = V::all(labels_.data()[i]), anchor = V::all(static_cast<T>(i));
    const auto keep = [](T* values, T* indices, auto better, V value, V index) PYLOSS_INLINE_LAMBDA {
      select(better, value, V::load(values)).store(values);
      select(better, index, V::load(indices)).store(indices);
    };
    for (std::size_t c = 0; c < columns; c += V::lanes) {
      const std::size_t j = j0 + c;
      const V label = V::load(labels_.data() + j), value = V::load(tile + c), index = simd::lane_numbers<T>() + V::all(static_cast<T>(j));
      const auto behind = index > anchor, positive = (label == own) & behind, negative = ((label < own) | (label > own)) & behind;
      T *const near = of_rows.near.data() + row_at, *const near_at = of_rows.near_at.data() + row_at;
      keep(near, near_at, negative & (value < V::load(near)), value, index);
      keep(of_columns.near.data() + j, of_columns.near_at.data() + j, negative & (value < V::load(of_columns.near.data() + j)), value,
           anchor);
      if (bits_of(positive) == 0) continue;
      T *const far = of_rows.far.data() + row_at, *const far_at = of_rows.far_at.data() + row_at;
      keep(far, far_at, positive & (value > V::load(far)), value, index);
      keep(of_columns.far.data() + j, of_columns.far_at.data() + j, positive & (value > V::load(of_columns.far.data() + j)), value, anchor);
    }
  }

  void measure_panels(std::size_t begin, std::size_t end, std::size_t first, std::size_t last, T* to) const {
    alignas(simd::group_bytes) T tile[rows * columns];
    for (std::size_t pj = first; pj < last; ++pj) {
      for (std::size_t pi = begin / rows; pi < divide_up(end, rows); ++pi) {
        if (pj + 1 < last) products_.prefetch_part(pj + 1, pi - begin / rows, divide_up(end, rows) - begin / rows);
        products_.accumulate({}, pi, pj, tile);
        products_.finish(pi, pj, tile);
        T* at = to + (pi * rows - begin) * width_ + pj * columns;
        for (std::size_t r = 0; r < rows && pi * rows + r < end; ++r, at += width_)
          std::memcpy(at, tile + r * columns, sizeof(T) * columns);
      }
    }
  }

  template <class Use>
  void with_anchor(std::size_t i, T* values, const T* statistics, int thread, Use&& use) {
    std::vector<T>& labels = own_labels_[static_cast<std::size_t>(thread)];
    AnchorScratch<T>& scratch = scratch_[static_cast<std::size_t>(thread)];
    if (labels.empty()) {
      labels.assign(labels_.data(), labels_.data() + width_);
      scratch.interrupt = &interrupt_;
      scratch.calling = thread == 0;
    }
    // Behind the last column tiles may have left anything, even NaN.
    std::fill(values + y_.count, values + width_, T{0});
    if (loss_.measure.form == Form::half_square) set_ones(i, values);
    const auto label = static_cast<std::size_t>(x_labels_[i]);
    if (self_) labels[i] = std::numeric_limits<T>::quiet_NaN();
    Anchor<T> anchor(i, values, labels.data(), statistics, width_, static_cast<T>(label), loss_.measure.form, scale_, scratch);
    const double alike = label < class_sizes_.size() ? class_sizes_[label] : 0.0;
    anchor.positives = self_ ? alike - 1.0 : alike;
    anchor.negatives = static_cast<double>(y_.count) - alike;
    use(anchor);
    if (self_) labels[i] = labels_.data()[i];
  }

  /// Adds the gradients by anchors [begin, end), whose derivatives are in `from`, to grad.
  void carry_to_rows(std::size_t begin, std::size_t end, const T* from, T* grad) const {
    const bool inner = loss_.measure.form == Form::inner;
    const std::size_t depth = x_.depth, stride = y_.stride, panels = divide_up(end - begin, rows);
    Buffer<T> total(panels * rows * stride);
    multiply(y_.count, panels, y_features_, total.data(),
             [&](std::size_t panel, std::size_t j) { return RowByRow<T>{from + panel * rows * width_ + j, width_}; });
    for (std::size_t i = begin; i < end; ++i) {
      const T* const own = x_.row(i);
      const T* const sums = total.data() + (i - begin) * stride;
      T* const to = grad + i * depth;
      if (inner) {
        for (std::size_t k = 0; k < depth; ++k) to[k] += sums[k];
      } else {
        const T sum = static_cast<T>(row_sum(from + (i - begin) * width_));
        for (std::size_t k = 0; k < depth; ++k) to[k] += sum * own[k] - sums[k];
      }
    }
  }

  /// A quarter of the anchors, since memory of a fresh slab costs time as well, but at least 192 and within 16 MiB. Few slabs are wanted
  /// because threads wait for each other five times in each.
  static std::size_t height_of(std::size_t anchors, std::size_t width) {
    const std::size_t fit = (std::size_t{16} << 20) / (sizeof(T) * std::max<std::size_t>(width, 1));
    return std::max<std::size_t>(std::min(fit, std::max<std::size_t>(anchors / 4, 192)) / 12, 1) * 12;
  }

  /// Half the squared distance of unit rows is 1 - cosine, but a row of zeros is 1 from all.
  void set_ones(std::size_t i, T* values) const {
    if (x_.lengths[i] == 0.0) return std::fill_n(values, y_.count, T{1}), void();
    for (const std::size_t j : y_.zeros) values[j] = T{1};
  }
  double row_sum(const T* from) const {
    simd::Sum<T> sum;
    simd::for_each_pack<T>(width_,
                           [&](std::size_t j, auto place, auto lanes) PYLOSS_INLINE_LAMBDA { sum.add(place, lanes.load(from + j)); });
    return sum.total();
  }

  /// Rows [begin, end) with the features of a tile's columns side by side, which gradients are sums of.
  bool pack_features(const Prepared<T>& of, std::size_t begin, std::size_t end, Panels<T>& to) const {
    constexpr std::size_t chunk = 64;
    return for_each_chunk(divide_up(end - begin, chunk), threads_, interrupt_, [&](std::size_t unit, int) {
      for (std::size_t k = unit * chunk; k < std::min(end - begin, (unit + 1) * chunk); ++k) {
        for (std::size_t f = 0; f < of.stride; f += columns)
          std::memcpy(to.panel(f / columns) + k * columns, of.row(begin + k) + f, sizeof(T) * columns);
      }
    });
  }

  /// total = sum over k < count of what of(panel, k) gives for the rows of a panel times features[k]. A run of features stays in the
  /// first cache while all panels go through it.
  template <class Of>
  void multiply(std::size_t count, std::size_t panels, const Panels<T>& features, T* total, Of&& of) const {
    constexpr std::integral_constant<std::size_t, columns> width;
    alignas(simd::group_bytes) T tile[rows * columns];
    const std::size_t stride = features.panels() * columns;
    if (count == 0) std::fill_n(total, panels * rows * stride, T{0});
    for (std::size_t begin = 0; begin < count; begin += depth_run) {
      for (std::size_t f = 0; f < stride; f += columns) {
        const T* const b = features.panel(f / columns) + begin * columns;
        const T* const next = f + columns < stride ? features.panel(f / columns + 1) + begin * columns
                                                   : features.panel(0) + std::min(begin + depth_run, count - 1) * columns;
        for (std::size_t panel = 0; panel < panels; ++panel) {
          prefetch_part(next, std::min(depth_run, count - begin) * columns, panel, panels);
          accumulate<T>(distances::Inner{}, of(panel, begin), b, width, std::min(depth_run, count - begin), tile);
          for (std::size_t r = 0; r < rows; ++r) {
            T *const to = total + (panel * rows + r) * stride + f, *const from = tile + r * columns;
            for (std::size_t c = 0; c < columns; c += V::lanes) {
              (begin == 0 ? V::load(from + c) : V::load(to + c) + V::load(from + c)).store(to + c);
            }
          }
        }
      }
    }
  }

  const RowLoss<T>& loss_;
  const Prepared<T>&x_, &y_;
  bool self_;
  double scale_;
  int threads_;
  Interrupt& interrupt_;
  PairwiseCall call_;
  InnerProducts<T> products_;
  std::size_t width_, height_;
  Panels<T> x_features_, y_features_;
  const std::int64_t* x_labels_;
  Buffer<T> labels_, slab_;
  std::vector<Buffer<T>> side_by_side_;
  std::vector<std::vector<T>> own_labels_;
  std::vector<AnchorScratch<T>> scratch_;
  std::vector<double> class_sizes_;
};

/// The statistic of each row of `of`, against all rows of `others`.
template <class T>
bool find_statistics(const RowLoss<T>& loss, const Prepared<T>& of, const std::int64_t* of_labels, const Prepared<T>& others,
                     const std::int64_t* other_labels, const EmbeddingCall& call, Interrupt& interrupt, Buffer<T>& to) {
  Slabs<T> slabs(loss, of, of_labels, others, other_labels, call.self, 1.0, call.threads, interrupt);
  const std::size_t width = Slabs<T>::width_of(of.count);
  to = Buffer<T>(width);
  std::fill_n(to.data(), width, T{0});
  return slabs.each_by_itself(nullptr, nullptr,
                              [&](Anchor<T>& anchor) { to.data()[anchor.index] = static_cast<T>(loss.statistic(anchor)); });
}

/// Gradients by prepared rows become those by the rows that came, scaled.
template <class T>
bool finish(const Prepared<T>& rows, double scale, T* grad, int threads, Interrupt& interrupt) {
  if (rows.lengths.empty() && scale == 1.0) return true;
  constexpr std::size_t chunk = 64;
  return for_each_chunk(divide_up(rows.count, chunk), threads, interrupt, [&](std::size_t unit, int) {
    for (std::size_t i = unit * chunk; i < std::min(rows.count, (unit + 1) * chunk); ++i) {
      rows.carry_back(i, scale, grad + i * rows.depth, grad + i * rows.depth);
    }
  });
}

template <class T>
struct Batch {
  std::unique_ptr<RowLoss<T>> loss;
  Prepared<T> x;
  std::unique_ptr<Prepared<T>> own_y;
  const Prepared<T>& y;

  Batch(std::unique_ptr<RowLoss<T>> made, const EmbeddingCall& call, Interrupt& interrupt)
      : Batch(std::move(made), call, interrupt,
              made->measure.form == Form::inner ? std::vector<double>(call.x.rows.depth, 0.0) : centre_of(call.y.rows, 1.0)) {}

 private:
  Batch(std::unique_ptr<RowLoss<T>>&& made, const EmbeddingCall& call, Interrupt& interrupt, const std::vector<double>& centre)
      : loss(std::move(made)),
        x(call.x.rows, loss->measure.normalised, centre, call.threads, interrupt),
        own_y(call.self ? nullptr : std::make_unique<Prepared<T>>(call.y.rows, loss->measure.normalised, centre, call.threads, interrupt)),
        y(call.self ? x : *own_y) {}
};

template <class T>
bool run(const EmbeddingCall& call, Interrupt& interrupt, double& value) {
  const Batch<T> batch(make_loss<T>(call), call, interrupt);
  const RowLoss<T>& loss = *batch.loss;
  const std::size_t n = batch.x.count;
  Buffer<T> statistics;
  if (loss.has_statistic() && !find_statistics(loss, batch.y, call.y.labels, batch.x, call.x.labels, call, interrupt, statistics))
    return false;

  T *const grad_x = static_cast<T*>(call.grad_x), *const grad_y = call.self ? grad_x : static_cast<T*>(call.grad_y);
  const bool twice = call.self && loss.measure.symmetric;
  std::vector<double> counts(n, 0.0);
  double count = 0.0;
  value = 0.0;
  {
    Slabs<T> slabs(loss, batch.x, call.x.labels, batch.y, call.y.labels, call.self, twice ? 2.0 * call.scale : call.scale, call.threads,
                   interrupt);
    const auto use = [&](Anchor<T>& anchor) {
      const AnchorTerm term = loss.term(anchor);
      call.terms[anchor.index] = call.scale * term.value;
      counts[anchor.index] = term.count;
    };
    if (grad_x && !slabs.reserve_gradients()) return false;
    if (!grad_x || twice) {
      if (!slabs.each_by_itself(statistics.data(), grad_x, use)) return false;
    } else {
      slabs.reserve_slab();
      for (std::size_t begin = 0; begin < n; begin += slabs.height()) {
        const std::size_t end = std::min(begin + slabs.height(), n);
        if (!slabs.measure(begin, end) || !slabs.for_each_anchor(begin, end, statistics.data(), use)) return false;
        if (!slabs.carry_to_anchors(begin, end, grad_x) || !slabs.carry_to_others(begin, end, grad_y)) return false;
      }
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    value += call.terms[i];
    count += counts[i];
  }
  const double factor = !call.mean ? 1.0 : count > 0.0 ? 1.0 / count : 0.0;
  value = count > 0.0 || !call.mean ? value * factor : 0.0;
  if (!grad_x) return true;
  if (!finish(batch.x, factor, grad_x, call.threads, interrupt)) return false;
  return call.self || finish(batch.y, factor, grad_y, call.threads, interrupt);
}

/// Mining as a loss without derivatives.
template <class T>
class Miner final : public RowLoss<T> {
 public:
  Miner(std::string_view kind, std::vector<std::vector<std::int64_t>>& triplets) : kind_(kind), triplets_(triplets) {}

  AnchorTerm term(Anchor<T>& anchor) const override {
    if (anchor.positives == 0 || anchor.negatives == 0) return {0.0, 0.0};
    auto& found = triplets_[anchor.index];
    const auto add = [&](std::size_t p, std::size_t n) {
      found.insert(found.end(), {static_cast<std::int64_t>(anchor.index), static_cast<std::int64_t>(p), static_cast<std::int64_t>(n)});
    };
    auto positives = anchor.sorted_positives();
    if (kind_ == "hard") {
      const auto farthest = std::find_if(positives.begin(), positives.end(),
                                         [last = positives.back().value](const Other<T>& p) { return !(p.value < last); });
      add(farthest->index, nearest_beyond(anchor, -simd::infinity<T>));
    } else if (kind_ == "semihard") {
      std::sort(positives.begin(), positives.end(), [](const Other<T>& a, const Other<T>& b) { return a.index < b.index; });
      for (const Other<T>& p : positives) add(p.index, nearest_beyond(anchor, p.value));
    } else {
      std::sort(positives.begin(), positives.end(), [](const Other<T>& a, const Other<T>& b) { return a.index < b.index; });
      for (const Other<T>& p : positives) anchor.for_each_negative([&](std::size_t n, T) { add(p.index, n); });
    }
    return {0.0, 0.0};
  }

 private:
  /// The nearest negative beyond `d`; if there is none, the farthest.
  static std::size_t nearest_beyond(const Anchor<T>& anchor, T d) {
    using V = Pack<T>;
    // The least value first, then the first place that has it: both a pack at a time.
    V least = static_cast<double>(simd::infinity<T>), largest = -static_cast<double>(simd::infinity<T>);
    const V bound = V::all(d);
    anchor.for_each_pair([&](std::size_t, auto, const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      least = simd::min(least, simd::select(pairs.negative & (pairs.value > bound), pairs.value, simd::infinity<double>));
      largest = simd::max(largest, simd::select(pairs.negative, pairs.value, -simd::infinity<double>));
    });
    T lane[V::lanes];
    least.store(lane);
    T wanted = *std::min_element(std::begin(lane), std::end(lane));
    if (wanted == simd::infinity<T>) {
      largest.store(lane);
      wanted = *std::max_element(std::begin(lane), std::end(lane));
    }
    std::size_t at = std::numeric_limits<std::size_t>::max(), any = at;
    anchor.for_each_pair([&](std::size_t j, auto, const Pairs<T>& pairs) PYLOSS_INLINE_LAMBDA {
      const unsigned bits = bits_of(pairs.negative & (pairs.value == V::all(wanted)));
      if (bits && at == std::numeric_limits<std::size_t>::max()) at = j + static_cast<std::size_t>(std::countr_zero(bits));
      const unsigned all = bits_of(pairs.negative);
      if (all && any == std::numeric_limits<std::size_t>::max()) any = j + static_cast<std::size_t>(std::countr_zero(all));
    });
    return at == std::numeric_limits<std::size_t>::max() ? any : at;  // none is equal where all are NaN
  }

  std::string_view kind_;
  std::vector<std::vector<std::int64_t>>& triplets_;
};

template <class T>
bool mine(const EmbeddingCall& call, std::vector<std::vector<std::int64_t>>& triplets, Interrupt& interrupt) {
  auto miner = std::make_unique<Miner<T>>(call.loss, triplets);
  miner->measure = measure_by(call.metric);
  const Batch<T> batch(std::move(miner), call, interrupt);
  triplets.assign(batch.x.count, {});
  Slabs<T> slabs(*batch.loss, batch.x, call.x.labels, batch.y, call.y.labels, true, 1.0, call.threads, interrupt);
  if (call.loss == "hard" && batch.x.zeros.empty()) {
    std::vector<Hardest<T>> hardest;
    if (!slabs.find_hardest(hardest)) return false;
    bool told = true;
    for (std::size_t i = 0; i < hardest.size(); ++i) {
      const Hardest<T>& each = hardest[i];
      const bool wanted = slabs.has_both(i);
      told = told && wanted == (each.far_at >= 0 && each.near_at >= 0);
      if (wanted)
        triplets[i] = {static_cast<std::int64_t>(i), static_cast<std::int64_t>(each.far_at), static_cast<std::int64_t>(each.near_at)};
    }
    // NaN and infinite distances are no better than none.
    if (told) return true;
    triplets.assign(batch.x.count, {});
  }
  return slabs.each_by_itself(nullptr, nullptr, [&](Anchor<T>& anchor) { batch.loss->term(anchor); });
}

}  // namespace

std::span<const Signature> embedding_losses() { return signatures(Embedding{}); }

bool run_embedding(const EmbeddingCall& call, Interrupt& interrupt, double& value) {
  return call.x.rows.float64 ? run<double>(call, interrupt, value) : run<float>(call, interrupt, value);
}

bool run_mine(const EmbeddingCall& call, std::vector<std::vector<std::int64_t>>& triplets, Interrupt& interrupt) {
  return call.x.rows.float64 ? mine<double>(call, triplets, interrupt) : mine<float>(call, triplets, interrupt);
}

}  // namespace pyloss
