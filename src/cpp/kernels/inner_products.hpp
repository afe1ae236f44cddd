// The inner-product form of Euclidean distances and their kin: fast tiles, and the direct form wherever cancellation could have told.
#pragma once

#include <cmath>
#include <limits>
#include <numbers>
#include <string_view>
#include <vector>

#include "../distances/metrics.hpp"
#include "anchor.hpp"
#include "pairwise.hpp"
#include "products.hpp"

namespace pyloss {

template <class Use>
decltype(auto) with_rows(const Matrix& rows, Use&& use) {
  return rows.float64 ? use(static_cast<const double*>(rows.data)) : use(static_cast<const float*>(rows.data));
}

/// sum scale^2: a sum of squares that may be beyond float64 or below its normal numbers.
struct ScaledSum {
  double sum;
  int exponent;  // log2 scale
};

/// sum (x - y)^2 straight from the features, in float64: nothing cancels. For float32 features nothing overflows or underflows either.
inline ScaledSum square_distance(const float* x, const float* y, std::size_t depth) {
  using Wide = simd::Pack<double>;
  simd::Sum<float> sum;
  simd::for_each_pack<float>(depth, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
    const simd::Pack<float> a = lanes.load(x + i), b = lanes.load(y + i);
    const Wide low = Wide(simd::widen_low(a.v)) - Wide(simd::widen_low(b.v)),
               high = Wide(simd::widen_high(a.v)) - Wide(simd::widen_high(b.v));
    sum.add_products(place, low, low, high, high);
  });
  return {sum.total(), 0};
}

inline ScaledSum square_distance(const double* x, const double* y, std::size_t depth) {
  using V = simd::Pack<double>;
  const double total = sum_by_runs(depth, [&](std::size_t begin, std::size_t length) PYLOSS_INLINE_LAMBDA {
    simd::Sum<double> sum;
    simd::for_each_pack<double>(length, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
      const V r = lanes.load(x + begin + i) - lanes.load(y + begin + i);
      sum.add(place, r * r);
    });
    return sum.total();
  });
  if (total > 0x1p-900 && total < 0x1p1000) return {total, 0};
  double largest = 0.0;
  for (std::size_t k = 0; k < depth; ++k) {
    // Halved, because even the difference may overflow.
    const double r = std::abs(0.5 * x[k] - 0.5 * y[k]);
    if (r != r) return {r, 0};
    largest = std::max(largest, r);
  }
  if (largest == 0.0) {
    for (std::size_t k = 0; k < depth; ++k) largest = std::max(largest, std::abs(x[k] - y[k]));
    if (largest == 0.0) return {0.0, 0};
  }
  if (!(largest < simd::infinity<double>)) return {largest, 0};
  const int exponent = std::ilogb(largest) + 1;
  const double scaled = sum_by_runs(depth, [&](std::size_t begin, std::size_t length) {
    double lanes[8] = {};
    for (std::size_t k = begin; k < begin + length; ++k) {
      // Whichever of the two cannot overflow.
      const double r = exponent < 0 ? std::scalbn(x[k] - y[k], -exponent) : std::scalbn(x[k], -exponent) - std::scalbn(y[k], -exponent);
      lanes[k % 8] += r * r;
    }
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
  });
  return {scaled, exponent};
}

/// The largest finite magnitude among the features.
inline double largest_finite_of(const Matrix& rows) {
  return with_rows(rows, [&]<class T>(const T* data) {
    simd::Pack<T> largest = 0.0;
    simd::for_each_pack<T>(rows.count * rows.stride, [&](std::size_t i, auto, auto lanes) PYLOSS_INLINE_LAMBDA {
      const simd::Pack<T> a = abs(lanes.load(data + i));
      largest = max(largest, select(a < static_cast<double>(simd::infinity<T>), a, 0.0));
    });
    T lanes[simd::Pack<T>::lanes];
    largest.store(lanes);
    return static_cast<double>(*std::max_element(lanes, lanes + simd::Pack<T>::lanes));
  });
}

inline double distance_of(Form form, ScaledSum squares) {
  switch (form) {
    case Form::euclidean: return std::scalbn(std::sqrt(squares.sum), squares.exponent);
    case Form::half_square: return 0.5 * std::scalbn(squares.sum, 2 * squares.exponent);
    case Form::arc: {
      const double sine = 0.5 * std::scalbn(std::sqrt(squares.sum), squares.exponent);
      return sine != sine ? sine : 2.0 * std::asin(std::min(sine, 1.0));
    }
    case Form::sqeuclidean:
    case Form::inner: break;
  }
  return std::scalbn(squares.sum, 2 * squares.exponent);
}

/// The mean of some of the rows, times scale. It is rounded to an eighth of how far the rows are spread about it: then numbers of few
/// digits, such as small integers, move exactly, and equal distances stay equal.
inline std::vector<double> centre_of(const Matrix& rows, double scale) {
  constexpr std::size_t sample = 1024;
  std::vector<double> centre(rows.depth, 0.0);
  if (rows.count == 0) return centre;
  const std::size_t step = divide_up(rows.count, sample);
  const double counted = static_cast<double>(divide_up(rows.count, step));
  const double most = rows.float64 ? std::numeric_limits<double>::max() : static_cast<double>(std::numeric_limits<float>::max());
  const auto for_each_number = [&](auto&& use) {
    with_rows(rows, [&](const auto* data) {
      for (std::size_t i = 0; i < rows.count; i += step) {
        for (std::size_t k = 0; k < rows.depth; ++k) use(k, scale * static_cast<double>(data[i * rows.stride + k]));
      }
    });
  };
  for_each_number([&](std::size_t k, double a) { centre[k] += a / counted; });
  // Moving the largest numbers could overflow.
  for (double& each : centre) each = std::abs(each) < most / 4 ? each : 0.0;
  double spread = 0.0;
  for_each_number([&](std::size_t k, double a) { spread += std::isfinite(a) ? std::abs(a - centre[k]) / counted : 0.0; });
  spread /= static_cast<double>(std::max<std::size_t>(rows.depth, 1));
  if (!(spread > 0x1p-1000 && spread < 0x1p1000)) return centre;
  const double grid = std::scalbn(1.0, std::ilogb(spread) - 3);
  for (double& each : centre) each = std::abs(each) < grid * 0x1p52 ? std::nearbyint(each / grid) * grid : each;
  return centre;
}

/// |x - y|² = |x|² + |y|² - 2 x y, of rows moved to a common centre and scaled by a power of two. Its error is at most `error` times
/// |x|² + |y|², so a pair for which |x - y|² is too small a part of that sum is computed again, straight from the features.
template <class T, class Products = FullProducts<T>>
class InnerProducts {
 public:
  using V = simd::Pack<T>;
  using Session = typename Products::Session;
  static constexpr std::size_t rows = Products::rows, columns = Products::columns;
  /// Whether bounds are so wide that many pairs may lie within them.
  static constexpr bool rough = Products::rough;

  InnerProducts(const PairwiseCall& call, Form form, Interrupt& interrupt)
      : call_(call),
        form_(form),
        products_(call.x.count, call.y.count, call.x.depth),
        x_norms_(divide_up(call.x.count, rows) * rows),
        y_norms_(divide_up(call.y.count, columns) * columns) {
    find_scale();
    pack(call.x, products_.x, rows, x_norms_.data(), interrupt);
    pack(call.y, products_.y, columns, y_norms_.data(), interrupt);
    find_error();
  }

  Session session() const { return products_.session(); }
  std::size_t x_panels() const { return products_.x.panels(); }
  std::size_t y_panels() const { return products_.y.panels(); }

  void accumulate(const Session& session, std::size_t i, std::size_t j, T* tile) const { products_.accumulate(session, i, j, tile); }

  void prefetch_part(std::size_t j, std::size_t part, std::size_t parts) const {
    pyloss::prefetch_part(products_.y.panel(j), call_.y.depth * columns, part, parts);
  }

  /// Turns a tile's inner products into distances.
  void finish(std::size_t panel_i, std::size_t panel_j, T* tile) const {
    const std::size_t i0 = panel_i * rows, j0 = panel_j * columns, count = std::min(rows, call_.x.count - i0);
    if (form_ == Form::inner) return;
    const V unscale = unscale_, threshold = threshold_, least = least_normal;
    for (std::size_t r = 0; r < count; ++r) {
      const V x = V::all(x_norms_.data()[i0 + r]);
      for (std::size_t c = 0; c < columns; c += V::lanes) {
        T* const at = tile + r * columns + c;
        const V both = x + V::load(y_norms_.data() + j0 + c);
        const V square = fma(V::load(at), V(-2.0), both);
        unsigned doubtful = bits_of(!(square >= fma(threshold, both, least)));
        switch (form_) {
          case Form::euclidean: (sqrt(square) * unscale).store(at); break;
          case Form::sqeuclidean: (square * unscale * unscale).store(at); break;
          case Form::half_square: (square * unscale * unscale * 0.5).store(at); break;
          default: doubtful = (1u << V::lanes) - 1u;
        }
        for (; doubtful; doubtful &= doubtful - 1) {
          const std::size_t lane = static_cast<std::size_t>(std::countr_zero(doubtful)), j = j0 + c + lane;
          if (j < call_.y.count) at[lane] = static_cast<T>(exact(i0 + r, j, T{}));
        }
      }
    }
  }

  /// base(i) + beyond(j, tile), for a pack of a tile, is a lower bound of what pairs are ranked by; the truth is within slack() above.
  T base(std::size_t i) const { return static_cast<T>(kept_) * x_norms_.data()[i]; }
  PYLOSS_INLINE V beyond(std::size_t j, const T* at) const { return fma(V::load(at), V(factor_), V(kept_) * V::load(y_norms_.data() + j)); }
  T slack(std::size_t i, std::size_t j, T) const {
    return static_cast<T>(2.0 * slack_) * (x_norms_.data()[i] + y_norms_.data()[j]) + static_cast<T>(least_normal);
  }
  /// A bound on what a lower bound may be for a distance up to `radius`.
  T highest_lower(double radius) const {
    if (form_ == Form::inner) return static_cast<T>(-radius * scale_ * scale_ * (1.0 - 1e-6 * (radius > 0 ? 1 : -1)) + least_normal);
    double square = form_ == Form::euclidean ? radius * radius : form_ == Form::half_square ? 2.0 * radius : radius;
    if (form_ == Form::arc) square = radius >= std::numbers::pi ? 8.0 : 4.0 * std::pow(std::sin(0.5 * radius), 2);
    square *= scale_ * scale_;
    return square < 0.5 * std::numeric_limits<T>::max() ? static_cast<T>(square * (1.0 + 1e-6) + least_normal) : simd::infinity<T>;
  }

  /// The distance, straight from the features.
  double exact(std::size_t i, std::size_t j, T) const {
    const std::size_t depth = call_.x.depth;
    return with_rows(call_.x, [&](const auto* x) {
      const auto* const y = static_cast<decltype(x)>(call_.y.data);
      if (form_ == Form::inner) return inner_product(x + i * call_.x.stride, y + j * call_.y.stride, depth);
      return distance_of(form_, square_distance(x + i * call_.x.stride, y + j * call_.y.stride, depth));
    });
  }

  bool similarity() const { return form_ == Form::inner; }

 private:
  /// Below this the scaled squares may have lost digits to underflow.
  static constexpr double least_normal = sizeof(T) == 4 ? 0x1p-100 : 0x1p-900;

  /// Scale and centre are of the rows of y alone, so that a row of x has the same distances whatever rows are beside it.
  void find_scale() {
    const std::size_t depth = call_.x.depth, count = call_.y.count;
    center_.assign(depth, 0.0);
    if (form_ == Form::inner) return;
    const double largest = largest_finite_of(call_.y);
    const int exponent = largest > 0.0 ? std::ilogb(largest) : 0;
    // Ordinary numbers are left as they are.
    if (std::abs(exponent) > (sizeof(T) == 4 ? 40 : 300)) {
      scale_ = std::scalbn(1.0, std::clamp(-exponent, -1000, 1000));
      unscale_ = 1.0 / scale_;
    }
    if (count == 0) return;
    center_ = centre_of(call_.y, scale_);
  }

  /// docs/accuracy.md derives these.
  void find_error() {
    const double unit = std::numeric_limits<T>::epsilon() / 2, depth = static_cast<double>(call_.x.depth);
    const Additions additions(call_.x.depth);
    // Squares of the partial sums, which roundings are relative to, of so many sums over so many features each.
    const auto partial_sums = [&](std::size_t length, double terms) {
      if (call_.x.depth <= length) return terms / 3.0;
      return std::ceil(depth / static_cast<double>(length)) * std::pow(static_cast<double>(length) / depth, 2) * terms / 3.0;
    };
    const double runs = additions.in_run > 1.0 ? partial_sums(depth_run, additions.in_run) : 0.0;
    const double partial = partial_sums(depth_block, additions.in_block) + runs + additions.of_runs / 3.0 + 0.5;
    const double certain = products_.error();
    const double likely = unit * std::max(2.0 + 2.5 * std::sqrt(partial), 0.5 * additions.all());
    const double assumed = sizeof(T) == 8 ? certain : std::min(certain, likely);
    // Of the distance; its square's error is twice as large.
    const double asked = sizeof(T) == 4 ? 1e-6 : 1e-14;
    threshold_ = assumed / (2.0 * asked);
    slack_ = form_ == Form::inner ? 0.5 * certain : certain;
    factor_ = form_ == Form::inner ? -1.0 : -2.0;
    kept_ = form_ == Form::inner ? -slack_ : 1.0 - slack_;
  }

  template <class Rows>
  void pack(const Matrix& all, Rows& panels, std::size_t width, T* norms, Interrupt& interrupt) {
    const std::size_t depth = all.depth;
    // Beyond the last row nothing is near.
    std::fill_n(norms, panels.panels() * width, simd::infinity<T>);
    for_each_chunk(panels.panels(), call_.threads, interrupt, [&](std::size_t panel, int) {
      with_rows(all, [&]<class From>(const From* data) {
        const From scale = static_cast<From>(scale_);
        panels.pack(panel, [&](std::size_t row, T* to) {
          const From* const from = data + row * all.stride;
          for (std::size_t k = 0; k < depth; ++k) to[k] = static_cast<T>(scale * from[k] - static_cast<From>(center_[k]));
          const T norm = static_cast<T>(inner_product(to, to, depth));
          // Where squares overflow only the direct form tells: NaN calls for it.
          norms[row] = norm < std::numeric_limits<T>::max() / 8 ? norm : std::numeric_limits<T>::quiet_NaN();
        });
      });
    });
  }

  const PairwiseCall& call_;
  Form form_;
  Products products_;
  Buffer<T> x_norms_, y_norms_;
  std::vector<double> center_;
  double scale_ = 1.0, unscale_ = 1.0, threshold_ = 0.0, slack_ = 0.0, factor_ = -2.0, kept_ = 1.0;
};

inline bool form_of(std::string_view metric, Form& form) {
  constexpr std::pair<std::string_view, Form> forms[] = {{"euclidean", Form::euclidean},
                                                         {"sqeuclidean", Form::sqeuclidean},
                                                         {"half_square", Form::half_square},
                                                         {"arc", Form::arc},
                                                         {"inner", Form::inner}};
  for (const auto& [name, each] : forms) {
    if (name == metric) return form = each, true;
  }
  return false;
}

}  // namespace pyloss
