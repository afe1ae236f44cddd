// What inner products are computed by: the tile in the type of the rows, or rougher ones that only rule pairs out.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "../distances/metrics.hpp"
#include "../simd/bfloat16.hpp"
#include "../simd/half.hpp"
#include "tile.hpp"

namespace pyloss {

/// The sum over all features of what of(begin, length) gives for a run of them: float64's roundings shall not grow with the depth either.
template <class Of>
double sum_by_runs(std::size_t depth, Of&& of) {
  double total = 0.0;
  for (std::size_t begin = 0; begin < depth; begin += depth_run) total += of(begin, std::min(depth_run, depth - begin));
  return total;
}

inline double inner_product(const float* x, const float* y, std::size_t depth) {
  using Wide = simd::Pack<double>;
  simd::Sum<float> sum;
  simd::for_each_pack<float>(depth, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
    const simd::Pack<float> a = lanes.load(x + i), b = lanes.load(y + i);
    sum.add_products(place, Wide(simd::widen_low(a.v)), Wide(simd::widen_low(b.v)), Wide(simd::widen_high(a.v)),
                     Wide(simd::widen_high(b.v)));
  });
  return sum.total();
}

inline double inner_product(const double* x, const double* y, std::size_t depth) {
  return sum_by_runs(depth, [&](std::size_t begin, std::size_t length) PYLOSS_INLINE_LAMBDA {
    simd::Sum<double> sum;
    simd::for_each_pack<double>(length, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
      sum.add(place, lanes.load(x + begin + i) * lanes.load(y + begin + i));
    });
    return sum.total();
  });
}

/// Rows of two matrices, multiplied and added in their own type.
template <class T>
class FullProducts {
 public:
  static constexpr std::size_t rows = Tile<T>::rows, columns = Tile<T>::columns;
  static constexpr bool rough = false;
  /// What a thread holds while it computes.
  struct Session {};
  Session session() const { return {}; }

  FullProducts(std::size_t x_count, std::size_t y_count, std::size_t depth)
      : x(x_count, depth, rows), y(y_count, depth, columns), depth_(depth) {}

  void accumulate(const Session&, std::size_t i, std::size_t j, T* tile) const {
    pyloss::accumulate<T>(distances::Inner{}, x.panel(i), y.panel(j), depth_, tile);
  }

  /// A bound on the error of |x|² + |y|² - 2 x y beside |x|² + |y|², which docs/accuracy.md derives.
  double error() const {
    // Norms of float64 rows are sums in float64 themselves, of eight lanes.
    const double depth = static_cast<double>(depth_),
                 norm = sizeof(T) == 8 ? std::min(depth, 1.0 * depth_run) / 8.0 + depth / depth_run : 0.0;
    return std::numeric_limits<T>::epsilon() / 2 * (Additions(depth_).all() + norm + 8.0);
  }

  Panels<T> x, y;

 private:
  std::size_t depth_;
};

#if defined(PYLOSS_BFLOAT16)

/// Rows as simd::bfloat16::tile() reads them. Missing rows and features are zero.
template <bool columns>
class Bfloat16Panels {
 public:
  Bfloat16Panels(std::size_t count, std::size_t depth)
      : count_(count),
        depth_(depth),
        blocks_(divide_up(depth, simd::bfloat16::depth)),
        data_(panels() * blocks_ * simd::bfloat16::block),
        roundings_(panels()) {}

  std::size_t panels() const { return divide_up(count_, width); }
  std::size_t blocks() const { return blocks_; }
  const std::uint16_t* panel(std::size_t i) const { return data_.data() + i * blocks_ * simd::bfloat16::block; }

  /// Fills a panel: fill(row, to) writes the features of a row side by side.
  template <class Fill>
  void pack(std::size_t panel, Fill&& fill) {
    constexpr std::size_t block = simd::bfloat16::block, depth = simd::bfloat16::depth, half = width / 2;
    const std::size_t padded = blocks_ * depth;
    std::uint16_t* const to = data_.data() + panel * blocks_ * block;
    Buffer<float> features(padded), lost(padded);
    Buffer<std::uint16_t> rounded(padded);
    std::fill_n(features.data(), padded, 0.0f);
    double worst = 0.0;
    for (std::size_t r = 0; r < width; ++r) {
      if (panel * width + r < count_) {
        fill(panel * width + r, features.data());
      } else {
        std::fill_n(features.data(), depth_, 0.0f);
      }
      for (std::size_t k = 0; k < padded; ++k) {
        rounded.data()[k] = simd::narrow_bfloat16(features.data()[k]);
        lost.data()[k] = features.data()[k] - simd::widen_bfloat16(rounded.data()[k]);
      }
      // Of rows that are not finite the norms tell.
      const double part = inner_product(lost.data(), lost.data(), depth_) / inner_product(features.data(), features.data(), depth_);
      if (part < simd::infinity<double>) worst = std::max(worst, part);
      for (std::size_t k = 0; k < padded; k += 2) {
        const std::size_t at = columns ? r / half * (block / 2) + k % depth * half + r % half * 2 : r * depth + k % depth;
        std::copy_n(rounded.data() + k, 2, to + k / depth * block + at);
      }
    }
    roundings_[panel] = std::sqrt(worst);
  }

  /// The largest part of the length of a row that rounding took away.
  double rounding() const { return roundings_.empty() ? 0.0 : *std::max_element(roundings_.begin(), roundings_.end()); }

 private:
  static constexpr std::size_t width = columns ? simd::bfloat16::columns : simd::bfloat16::rows;
  std::size_t count_, depth_, blocks_;
  Buffer<std::uint16_t> data_;
  std::vector<double> roundings_;  // of each panel
};

/// Rows of float32, rounded to bfloat16 and added up in float32.
class Bfloat16Products {
 public:
  static constexpr std::size_t rows = simd::bfloat16::rows, columns = simd::bfloat16::columns;
  static constexpr bool rough = true;
  using Session = simd::bfloat16::Session;
  Session session() const { return Session(unit_); }

  Bfloat16Products(std::size_t x_count, std::size_t y_count, std::size_t depth) : x(x_count, depth), y(y_count, depth) {}

  /// Whether they are worth it: rounding rows takes longer than packing them, and a tile has more rows than float32's.
  static bool pay(std::size_t x_count, std::size_t y_count, std::size_t depth, int threads) {
    return depth >= simd::bfloat16::depth && y_count >= 256 && x_count >= rows * static_cast<std::size_t>(threads) &&
           simd::bfloat16::unit() != simd::bfloat16::Unit::none;
  }

  void accumulate(const Session& session, std::size_t i, std::size_t j, float* tile) const {
    simd::bfloat16::tile(session, x.panel(i), y.panel(j), x.blocks(), tile);
  }

  /// As above: what rounding took from the rows, and sums in float32, of which a unit may round both products of a pair.
  double error() const {
    const double by_x = x.rounding(), by_y = y.rounding(), terms = static_cast<double>(2 * x.blocks() * simd::bfloat16::depth + 8);
    return by_x + by_y + by_x * by_y + 0x1p-24 * terms * (1.0 + by_x) * (1.0 + by_y);
  }

  Bfloat16Panels<false> x;
  Bfloat16Panels<true> y;

 private:
  simd::bfloat16::Unit unit_ = simd::bfloat16::unit();
};

#endif

}  // namespace pyloss
