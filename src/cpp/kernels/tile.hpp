// The register tile: sums over the features of a few rows against a few packs of columns, from packed panels.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "../parallel.hpp"
#include "buffer.hpp"

namespace pyloss {

/// Calls body(0), ..., body(N - 1) with constants.
template <std::size_t N, class Body>
PYLOSS_INLINE void unrolled(Body&& body) {
  [&]<std::size_t... I>(std::index_sequence<I...>)
      PYLOSS_INLINE_LAMBDA { (body(std::integral_constant<std::size_t, I>{}), ...); }(std::make_index_sequence<N>{});
}

/// A tile's sums fill the vector registers but for two columns, one row and (where there is no fma) a product.
template <class T>
struct Tile {
  static constexpr std::size_t rows = simd::native_registers == 32 ? 12 : 6;
  static constexpr std::size_t packs = 2;
  static constexpr std::size_t columns = packs * simd::Pack<T>::lanes;
};

/// Features that are added up in a register, and blocks of them that are added up before they go to the tile's totals: rounding errors then
/// grow far slower than the depth. The same on every level, whatever its tile.
constexpr std::size_t depth_block = 32, depth_run = 8 * depth_block;

/// In how many additions a product takes part at most: in its block, in its run and of runs.
struct Additions {
  explicit Additions(std::size_t depth)
      : in_block(static_cast<double>(std::min(depth, depth_block))),
        in_run(static_cast<double>(divide_up(std::min(depth, depth_run), depth_block))),
        of_runs(depth > depth_run ? static_cast<double>(divide_up(depth, depth_run)) : 0.0) {}

  double all() const { return in_block + in_run + of_runs; }

  double in_block, in_run, of_runs;
};

/// Rows as the tile reads them: panels of `width` rows, in each feature after feature. Missing rows of the last panel are zero.
template <class T>
class Panels {
 public:
  Panels() = default;
  Panels(std::size_t count, std::size_t depth, std::size_t width)
      : count_(count), depth_(depth), width_(width), data_(panels() * depth * width) {}

  std::size_t panels() const { return divide_up(count_, width_); }
  const T* panel(std::size_t i) const { return data_.data() + i * depth_ * width_; }
  T* panel(std::size_t i) { return data_.data() + i * depth_ * width_; }

  /// Fills a panel: fill(row, to) writes the features of a row side by side.
  template <class Fill>
  void pack(std::size_t panel, Fill&& fill) {
    T* const to = data_.data() + panel * depth_ * width_;
    Buffer<T> scratch(width_ * depth_);
    T* const side_by_side = scratch.data();
    for (std::size_t r = 0; r < width_; ++r) {
      const std::size_t row = panel * width_ + r;
      if (row < count_) {
        fill(row, side_by_side + r * depth_);
      } else {
        std::fill_n(side_by_side + r * depth_, depth_, T{0});
      }
    }
    for (std::size_t k = 0; k < depth_; ++k) {
      for (std::size_t r = 0; r < width_; ++r) to[k * width_ + r] = side_by_side[r * depth_ + k];
    }
  }

 private:
  std::size_t count_ = 0, depth_ = 0, width_ = 1;
  Buffer<T> data_;
};

/// Asks for a part of what is wanted next, to the second cache.
template <class T>
void prefetch_part(const T* data, std::size_t size, std::size_t part, std::size_t parts) {
  for (std::size_t i = size * part / parts; i < size * (part + 1) / parts; i += 64 / sizeof(T)) __builtin_prefetch(data + i, 0, 2);
}

/// Where the tile finds the rows' numbers: side by side for each feature, a stride apart.
template <class T, class Stride>
struct SideBySide {
  const T* data;
  Stride stride;

  PYLOSS_INLINE void start(std::size_t) {}
  template <std::size_t Row>
  PYLOSS_INLINE T at(std::size_t k, std::integral_constant<std::size_t, Row>) const {
    return data[k * stride + Row];
  }
  /// Asks for the same feature of the next panel, or of the panel's next run; only these lie one behind the other.
  PYLOSS_INLINE void prefetch_next(std::size_t k, std::size_t depth) const {
    if constexpr (!std::is_same_v<Stride, std::size_t>) __builtin_prefetch(data + (k + depth) * stride);
  }
};

/// The rows themselves, a stride apart. Every third has a pointer of its own, so that an address is that and at most twice the stride.
template <class T>
struct RowByRow {
  const T* data;
  std::size_t stride;
  const T* third[Tile<T>::rows / 3] = {};

  PYLOSS_INLINE void start(std::size_t k) {
    for (std::size_t i = 0; i < std::size(third); ++i) third[i] = data + 3 * i * stride + k;
  }
  template <std::size_t Row>
  PYLOSS_INLINE T at(std::size_t, std::integral_constant<std::size_t, Row>) {
    const T a = third[Row / 3][Row % 3 * stride];
    if constexpr (Row % 3 == 2) ++third[Row / 3];
    return a;
  }
  PYLOSS_INLINE void prefetch_next(std::size_t, std::size_t) const {}
};

/// totals[s][row][column] = the s-th sum of `metric` over the features, `sums` of them for a pair. `b` has Tile::columns numbers for each
/// feature, a stride apart; as many rows go at a time as the registers hold.
template <class T, class Metric, class Rows, class Stride>
void accumulate(const Metric& metric, Rows a, const T* b, Stride b_stride, std::size_t depth, T* totals) {
  using V = simd::Pack<T>;
  constexpr std::size_t rows = Tile<T>::rows, packs = Tile<T>::packs, columns = Tile<T>::columns, sums = Metric::sums;
  constexpr std::size_t together = rows / Metric::passes;
  static_assert(rows % Metric::passes == 0);
  alignas(simd::group_bytes) T run[sums * rows * columns];
  if (depth == 0) std::fill(totals, totals + sums * rows * columns, T{0});
  unrolled<Metric::passes>([&](auto pass) PYLOSS_INLINE_LAMBDA {
    constexpr std::size_t first = pass * together;
    for (std::size_t begin = 0; begin < depth; begin += depth_block) {
      V sum[together][packs][sums];
      unrolled<together>([&](auto r) PYLOSS_INLINE_LAMBDA {
        unrolled<packs>([&](auto p) PYLOSS_INLINE_LAMBDA { unrolled<sums>([&](auto s) PYLOSS_INLINE_LAMBDA { sum[r][p][s] = 0.0; }); });
      });
      const std::size_t end = std::min(begin + depth_block, depth);
      a.start(begin);
      const auto add = [&](std::size_t k) PYLOSS_INLINE_LAMBDA {
        a.prefetch_next(k, depth);
        V y[packs];
        unrolled<packs>([&](auto p) PYLOSS_INLINE_LAMBDA { y[p] = V::load(b + k * b_stride + p * V::lanes); });
        unrolled<together>([&](auto r) PYLOSS_INLINE_LAMBDA {
          const V x = V::all(a.at(k, std::integral_constant<std::size_t, first + r>{}));
          unrolled<packs>([&](auto p) PYLOSS_INLINE_LAMBDA { metric.step(sum[r][p], x, y[p]); });
        });
      };
      std::size_t k = begin;
      for (; k + Metric::steps <= end; k += Metric::steps) unrolled<Metric::steps>([&](auto i) PYLOSS_INLINE_LAMBDA { add(k + i); });
      for (; k < end; ++k) add(k);
      // The first run is the totals' beginning.
      T* const into = begin < depth_run ? totals : run;
      unrolled<together>([&](auto r) PYLOSS_INLINE_LAMBDA {
        unrolled<packs>([&](auto p) PYLOSS_INLINE_LAMBDA {
          unrolled<sums>([&](auto s) PYLOSS_INLINE_LAMBDA {
            T* const to = into + (s * rows + first + r) * columns + p * V::lanes;
            (begin % depth_run == 0 ? sum[r][p][s] : metric.merge(V::load(to), sum[r][p][s])).store(to);
          });
        });
      });
      if (into == totals || (end % depth_run != 0 && end != depth)) continue;
      for (std::size_t s = 0; s < sums; ++s) {
        for (std::size_t at = (s * rows + first) * columns; at < (s * rows + first + together) * columns; at += V::lanes) {
          metric.merge(V::load(totals + at), V::load(run + at)).store(totals + at);
        }
      }
    }
  });
}

/// The same, from panels.
template <class T, class Metric>
void accumulate(const Metric& metric, const T* a, const T* b, std::size_t depth, T* totals) {
  constexpr std::integral_constant<std::size_t, Tile<T>::rows> height;
  constexpr std::integral_constant<std::size_t, Tile<T>::columns> width;
  accumulate<T>(metric, SideBySide<T, std::remove_cv_t<decltype(height)>>{a, height}, b, width, depth, totals);
}

}  // namespace pyloss
