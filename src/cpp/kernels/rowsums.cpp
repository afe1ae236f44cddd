#include "rowsums.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "../losses/registry.hpp"
#include "buffer.hpp"
#include "parameters.hpp"

namespace pyloss {

namespace {

using simd::for_each_pack;
using simd::Mask;
using simd::Pack;

/// Rows side by side, one a lane.
using Rows = Pack<double>;

template <class T, std::size_t lanes>
PYLOSS_INLINE Pack<T> load_as(const double* from) {
  T to[lanes];
  for (std::size_t i = 0; i < lanes; ++i) to[i] = static_cast<T>(from[i]);
  return Pack<T>::load(to);
}

template <class Loss, class T>
class RowSumsOf final : public RowSums<T> {
  using Base = RowSums<T>;
  using Base::tile_rows;
  using V = Pack<T>;
  using Start = typename Base::Start;
  static constexpr std::size_t leads = Loss::leads + Loss::from_totals;
  using Facts = RowFacts<V, leads>;
  using Adder = std::conditional_t<sizeof(T) == 4, simd::SumOfFew<T>, simd::Sum<T>>;
  static constexpr std::size_t places = tile_rows / V::lanes;
  // spoilt() looks at one.
  static_assert(!Loss::local || Loss::factors <= 1);

 public:
  explicit RowSumsOf(const double* parameters) : loss_(with_parameters<Loss>(parameters)) {}

  bool has_lead() const override { return Loss::leads != 0; }
  bool has_totals() const override { return Loss::totals != 0; }
  bool has_teacher() const override { return Loss::teacher; }
  bool local() const override { return Loss::local; }
  bool label_alone() const override { return Loss::label_alone && labels_; }

  void keep(std::size_t elements) override {
    for (auto& each : kept_) each = Buffer<T>(elements);
    keeps_ = true;
  }

  void start_tile(std::span<const Start> rows, std::size_t classes, bool labels) override {
    tile_ = true;
    reset(classes, labels);
    for (std::size_t i = 0; i < tile_rows; ++i) start(i, i < rows.size() ? rows[i] : Start{});
  }

  void start_row(const Start& row, std::size_t classes, bool labels) override {
    tile_ = false;
    reset(classes, labels);
    start(0, row);
  }

  void lead(const RowBlock<T>& block) override {
    if constexpr (Loss::leads != 0) with_labels([&](auto labels) { lead_pass<labels()>(block); });
  }

  void finish_lead() override {
    if (tile_) return;
    for (std::size_t k = 0; k < Loss::leads; ++k) {
      double* const lead = lead_[k];
      lead[0] = Loss::lead_kind == Lead::sum ? simd::Sum<T>::merge(lead) : *std::max_element(lead, lead + tile_rows);
    }
  }

  void total(const RowBlock<T>& block) override {
    if constexpr (Loss::totals != 0) with_labels([&](auto labels) { total_pass<labels()>(block); });
  }

  void finish_totals() override {
    if constexpr (Loss::totals != 0) {
      for_each_sum<Loss::totals>(
          [&](std::size_t i, const auto& sums) { store(loss_.normalise(sums, facts<Rows>(i)), lead_ + Loss::leads, i); });
      clear_sums();
    }
  }

  void add(const RowBlock<T>& block) override {
    with_labels([&](auto labels) {
      if constexpr (Loss::local) {
        if (block.derive == Derive::in_place) return add_pass<labels(), Derive::in_place>(block);
        if (block.derive == Derive::outgoing) return add_pass<labels(), Derive::outgoing>(block);
      }
      add_pass<labels(), Derive::later>(block);
    });
  }

  void add_label() override {
    for (std::size_t i = 0; i < (tile_ ? tile_rows : 1); i += Rows::lanes) {
      const Rows label_x = of<Rows>(label_x_, i);
      const Element<Rows> element{label_x, of<Rows>(on_, i), 0.0, label_x == label_x};
      const auto row = facts<Rows>(i);
      const auto terms = add_terms(loss_, element, row, costly(loss_, element, row));
      for (std::size_t s = 0; s < Loss::sums; ++s) terms[s].store(sum_[s] + i);
    }
  }

  void finish() override {
    for_each_sum<Loss::sums>([&](std::size_t i, const auto& sums) {
      const auto result = loss_.finish(sums, facts<Rows>(i));
      result.value.store(value_ + i);
      store(result.factor, factor_, i);
    });
  }

  double value(std::size_t i) const override { return value_[i]; }
  bool spoilt() const override { return Loss::factors != 0 && factor_[0][0] != 0.0; }

  void derive(const RowBlock<T>& block, T* grad, T* hess) const override {
    with_labels(
        [&](auto labels) { hess ? derive_pass<labels(), true>(block, grad, hess) : derive_pass<labels(), false>(block, grad, hess); });
  }

 private:
  /// Calls use(whether there are labels) as a constant, for the kinds of target that the loss takes.
  template <class Use>
  void with_labels(Use&& use) const {
    if constexpr (Loss::targets == Targets::labels) {
      use(std::true_type{});
    } else if constexpr (Loss::targets != Targets::either) {
      use(std::false_type{});
    } else {
      labels_ ? use(std::true_type{}) : use(std::false_type{});
    }
  }

  void reset(std::size_t classes, bool labels) {
    classes_ = static_cast<double>(classes);
    labels_ = labels;
    for (std::size_t k = 0; k < leads; ++k) std::fill_n(lead_[k], tile_rows, Loss::lead_kind == Lead::sum ? 0.0 : -simd::infinity<double>);
    clear_sums();
  }

  void clear_sums() {
    for (auto& sum : sum_) std::fill_n(sum, tile_rows, 0.0);
  }

  /// Calls use(i, sums) for every pack of rows from i on, or once for a single row.
  template <std::size_t count, class Use>
  void for_each_sum(Use&& use) {
    if (!tile_ && !label_alone()) {
      for (auto& sum : sum_) sum[0] = simd::Sum<T>::merge(sum);
    }
    for (std::size_t i = 0; i < (tile_ ? tile_rows : 1); i += Rows::lanes) {
      std::array<Rows, count> sums;
      for (std::size_t s = 0; s < count; ++s) sums[s] = of<Rows>(sum_[s], i);
      use(i, sums);
    }
  }

  template <std::size_t count>
  static void store(const std::array<Rows, count>& from, double (*to)[tile_rows], std::size_t i) {
    for (const Rows& each : from) each.store(*to++ + i);
  }

  void start(std::size_t i, const Start& row) {
    label_[i] = static_cast<double>(row.label);
    on_[i] = row.on;
    label_x_[i] = row.label_x;
    scale_[i] = row.scale;
  }

  /// Of the rows from i on, or in all lanes of the only row.
  template <class W>
  PYLOSS_INLINE W of(const double* each, std::size_t i) const {
    if (!tile_) return each[0];
    if constexpr (std::is_same_v<W, Rows>) {
      return Rows::load(each + i);
    } else {
      return load_as<T, V::lanes>(each + i);
    }
  }

  template <class W>
  RowFacts<W, leads> facts(std::size_t i) const {
    RowFacts<W, leads> row{of<W>(label_x_, i), classes_, {}};
    for (std::size_t k = 0; k < leads; ++k) row.lead[k] = of<W>(lead_[k], i);
    return row;
  }

  /// Calls body(at, place, lanes, element, row, i) for every pack of elements: `at` is where it lies, i the place of its first row.
  template <bool labels, class Prepare, class Body>
  PYLOSS_INLINE void walk(const RowBlock<T>& block, Prepare&& prepare, Body&& body) const {
    const auto element = [&](std::size_t at, Mask<T> is_label, V on, auto lanes) PYLOSS_INLINE_LAMBDA {
      V a = 0.0;
      if constexpr (Loss::targets != Targets::none) a = labels ? select(is_label, on, 0.0) : block.target.load(at, lanes);
      return Element<V>{lanes.load(block.x + at), a, Loss::teacher ? lanes.load(block.teacher + at) : V(0.0), is_label};
    };
    const auto none = Mask<T>{simd::integers<T>(0)};
    if (tile_) {
      for_each_pack<T>(tile_rows, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
        const auto prepared = prepare(i);
        const V label = of<V>(label_, i), on = of<V>(on_, i);
        for (std::size_t c = 0; c < block.size; ++c) {
          const std::size_t at = c * tile_rows + i;
          body(at, place, lanes, element(at, labels ? label == V(static_cast<double>(c)) : none, on, lanes), prepared);
        }
      });
    } else {
      const auto prepared = prepare(0);
      const double label = label_[0] - static_cast<double>(block.begin);
      const V on = on_[0], numbers = simd::lane_numbers<T>();
      for_each_pack<T>(block.size, [&](std::size_t at, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
        const auto is_label = labels ? numbers == V(label - static_cast<double>(at)) : none;
        body(at, place, lanes, element(at, is_label, on, lanes), prepared);
      });
    }
  }

  /// Of rows in the caller's memory, the pass that reads a row first asks for what it will soon read; a later one, which has its block in
  /// the cache, for what follows that. Elsewhere asking costs little.
  template <bool first, bool labels>
  static PYLOSS_INLINE void prefetch(const RowBlock<T>& block, std::size_t at) {
    const auto ask = [&](const T* row)
                         PYLOSS_INLINE_LAMBDA { first ? simd::prefetch_ahead(row + at) : __builtin_prefetch(row + block.size + at); };
    ask(block.x);
    if constexpr (Loss::targets != Targets::none && !labels) ask(block.target.at);
    if constexpr (Loss::teacher) ask(block.teacher);
  }

  static PYLOSS_INLINE void add_to(Adder& sum, std::size_t at, auto place, V a) {
    if constexpr (sizeof(T) == 4) {
      sum.add(at, place, a);
    } else {
      sum.add(place, a);
    }
  }

  template <class Sums, std::size_t count>
  static std::array<Sums, count> adders(const double (*from)[tile_rows]) {
    return [&]<std::size_t... s>(std::index_sequence<s...>) {
      return std::array<Sums, count>{Sums(from[s])...};
    }(std::make_index_sequence<count>{});
  }

  // The passes are flattened: formulas are called from several places in them, and a call for each pack would cost more than a formula.

  template <bool labels>
  [[gnu::flatten]] void lead_pass(const RowBlock<T>& block) {
    const auto nothing = [](std::size_t) { return 0; };
    if constexpr (Loss::lead_kind == Lead::sum) {
      // In float64 one by one: what an element lacks to the whole sum may be little.
      auto sums = adders<simd::Sum<T>, Loss::leads>(lead_);
      walk<labels>(block, nothing, [&](std::size_t, auto place, auto lanes, const Element<V>& e, int) PYLOSS_INLINE_LAMBDA {
        const auto terms = loss_.lead(e);
        for (std::size_t k = 0; k < Loss::leads; ++k) sums[k].add(place, lanes.or_zero(terms[k]));
      });
      for (std::size_t k = 0; k < Loss::leads; ++k) sums[k].store(lead_[k]);
    } else {
      std::array<std::array<V, places>, Loss::leads> best;
      for (std::size_t k = 0; k < Loss::leads; ++k) {
        for (std::size_t place = 0; place < places; ++place) best[k][place] = load_as<T, V::lanes>(lead_[k] + place * V::lanes);
      }
      walk<labels>(block, nothing, [&](std::size_t, auto place, auto lanes, const Element<V>& e, int) PYLOSS_INLINE_LAMBDA {
        const auto terms = loss_.lead(e);
        for (std::size_t k = 0; k < Loss::leads; ++k)
          best[k][place] = max(best[k][place], select(lanes.real(), terms[k], -simd::infinity<double>));
      });
      for (std::size_t k = 0; k < Loss::leads; ++k) {
        T lane[tile_rows];
        std::memcpy(lane, best[k].data(), sizeof lane);
        std::copy_n(lane, tile_rows, lead_[k]);
      }
    }
  }

  /// What `costly` of the loss returns; nothing for losses without it.
  template <class W, class RowOf>
  static PYLOSS_INLINE std::array<W, Loss::costs> costly(const Loss& loss, const Element<W>& e, const RowOf& row) {
    if constexpr (Loss::costs != 0) {
      return loss.costly(e, row);
    } else {
      return {};
    }
  }

  template <class W, class RowOf>
  static PYLOSS_INLINE auto add_terms(const Loss& loss, const Element<W>& e, const RowOf& row, const std::array<W, Loss::costs>& known) {
    if constexpr (Loss::costs != 0) {
      return loss.add(e, row, known);
    } else {
      return loss.add(e, row);
    }
  }

  static PYLOSS_INLINE ScoreTerms<V> derive_terms(const Loss& loss, const Element<V>& e, const Facts& row,
                                                  const std::array<V, Loss::factors>& factor, const std::array<V, Loss::costs>& known) {
    if constexpr (Loss::costs != 0) {
      return loss.derive(e, row, factor, known);
    } else {
      return loss.derive(e, row, factor);
    }
  }

  /// Adds up terms_of(at, lanes, element, facts, outgoing), of which there are `count`.
  template <bool first, bool labels, std::size_t count, class Terms>
  PYLOSS_INLINE void sum_pass(RowBlock<T> block, Terms&& terms_of) {
    const bool tile = tile_;
    auto sums = adders<Adder, count>(sum_);
    Outgoing<T> leaving = block.outgoing ? *block.outgoing : Outgoing<T>{};  // a local copy: the loop's stores cannot change it
    walk<labels>(
        block, [&](std::size_t i) { return facts<V>(i); },
        [&](std::size_t at, auto place, auto lanes, const Element<V>& e, const Facts& row) PYLOSS_INLINE_LAMBDA {
          if (place == 0 && !tile) prefetch<first, labels>(block, at);
          const auto terms = terms_of(at, lanes, e, row, leaving);
          for (std::size_t s = 0; s < count; ++s) add_to(sums[s], at, place, lanes.or_zero(terms[s]));
        });
    if (block.outgoing) *block.outgoing = leaving;
    for (std::size_t s = 0; s < count; ++s) sums[s].store(sum_[s]);
  }

  template <bool labels>
  [[gnu::flatten]] void total_pass(const RowBlock<T>& block) {
    const Loss loss = loss_;
    sum_pass<Loss::leads == 0, labels, Loss::totals>(
        block, [&](std::size_t, auto, const Element<V>& e, const Facts& row, Outgoing<T>& leaving) PYLOSS_INLINE_LAMBDA {
          leaving.step();
          return loss.total(e, row);
        });
  }

  template <bool labels, Derive where>
  [[gnu::flatten]] void add_pass(const RowBlock<T>& block) {
    const Loss loss = loss_;
    const V scale = scale_[0];
    T* const grad = block.grad;
    sum_pass<Loss::leads + Loss::totals == 0, labels, Loss::sums>(
        block, [&](std::size_t at, auto lanes, const Element<V>& e, const Facts& row, Outgoing<T>& leaving) PYLOSS_INLINE_LAMBDA {
          const auto known = costly(loss, e, row);
          if constexpr (where == Derive::later) {
            leaving.step();
            if constexpr (Loss::costs != 0) {
              for (std::size_t k = 0; keeps_ && k < Loss::costs; ++k) lanes.store(kept_[k].data() + at, known[k]);
            }
          } else {
            const V derivative = derive_terms(loss, e, row, std::array<V, Loss::factors>{}, known).grad * scale;
            if constexpr (where == Derive::outgoing) {
              leaving.append(derivative, lanes);
            } else {
              lanes.store(grad + at, derivative);
            }
          }
          return add_terms(loss, e, row, known);
        });
  }

  struct RowDerive {
    Facts row;
    std::array<V, Loss::factors> factor;
    V scale;
  };

  template <bool labels, bool second>
  void derive_pass(const RowBlock<T>& block, T* grad, T* hess) const {
    if constexpr (Loss::costs != 0) {
      if (keeps_) return derive_pass<labels, second, true>(block, grad, hess);
    }
    derive_pass<labels, second, false>(block, grad, hess);
  }

  template <bool labels, bool second, bool kept>
  [[gnu::flatten]] void derive_pass(const RowBlock<T>& block, T* grad, T* hess) const {
    const Loss loss = loss_;
    walk<labels>(
        block,
        [&](std::size_t i) {
          RowDerive prepared{facts<V>(i), {}, of<V>(scale_, i)};
          for (std::size_t f = 0; f < Loss::factors; ++f) prepared.factor[f] = of<V>(factor_[f], i);
          return prepared;
        },
        [&](std::size_t at, auto, auto lanes, const Element<V>& e, const RowDerive& prepared) PYLOSS_INLINE_LAMBDA {
          std::array<V, Loss::costs> known;
          if constexpr (kept) {
            for (std::size_t k = 0; k < Loss::costs; ++k) known[k] = lanes.load(kept_[k].data() + at);
          } else {
            known = costly(loss, e, prepared.row);
          }
          const auto terms = derive_terms(loss, e, prepared.row, prepared.factor, known);
          lanes.store(grad + at, terms.grad * prepared.scale);
          if constexpr (second) lanes.store(hess + at, terms.hess * prepared.scale);
        });
  }

  Loss loss_;
  bool tile_ = false, labels_ = false, keeps_ = false;
  double classes_ = 0.0;
  std::array<Buffer<T>, Loss::costs> kept_;
  // One for each row of a tile; a single row is the first, but for the sums and leads that are still being added up: those are its lanes'.
  double label_[tile_rows], on_[tile_rows], label_x_[tile_rows], scale_[tile_rows], value_[tile_rows];
  // One more than there are, for losses that have none.
  double lead_[leads + 1][tile_rows], sum_[Loss::sums][tile_rows], factor_[Loss::factors + 1][tile_rows];
};

template <class Loss, class T>
std::unique_ptr<RowSums<T>> make(const double* parameters) {
  return std::make_unique<RowSumsOf<Loss, T>>(parameters);
}

template <class... Losses>
std::span<const RowSumsEntry> table_of(List<Losses...>) {
  static const std::array<RowSumsEntry, sizeof...(Losses)> table{
      RowSumsEntry{Losses::name, parameters_of<Losses>, make<Losses, float>, make<Losses, double>}...};
  return table;
}

}  // namespace

std::span<const RowSumsEntry> row_sums_table() { return table_of(RowwiseSums{}); }

}  // namespace pyloss
