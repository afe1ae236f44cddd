// Distances as sums over the features of a pair. step() adds a feature to the sums, merge() joins sums over different features, finish()
// turns them into the distance, slope() is the distance's derivative by x; all metrics are symmetric, so slope(y, x) is that by y. A
// feature in which both are 0 adds nothing. `passes` is how often a tile is walked so that the sums of a pass fit the registers, `steps`
// how many features are added between two jumps.
#pragma once

#include <cstddef>
#include <string_view>

#include "../simd/math.hpp"

namespace pyloss::distances {

using simd::abs, simd::exp, simd::fma, simd::log, simd::log1p, simd::max, simd::select, simd::sign, simd::sqrt;

/// What a metric of one sum is made of.
struct OneSum {
  static constexpr std::size_t sums = 1, passes = 1, steps = 1;
  static constexpr bool differentiable = true, scale_free = false;
  template <class V>
  PYLOSS_INLINE V merge(V a, V b) const {
    return a + b;
  }
};

/// a / b, 0 where b is 0.
template <class V>
PYLOSS_INLINE V ratio(V a, V b) {
  return select(b == 0.0, 0.0, a / b);
}

/// sum x y. A similarity: the larger, the nearer.
struct Inner : OneSum {
  static constexpr std::string_view name = "inner";
  static constexpr std::size_t steps = 8;  // on an Intel Xeon, with 128 features, 196 GFLOP/s a core; with 1, 178; with 4 or 16, 183
  template <class V>
  PYLOSS_INLINE void step(V* sum, V x, V y) const {
    sum[0] = fma(x, y, sum[0]);
  }
  template <class V>
  PYLOSS_INLINE V finish(const V* sum) const {
    return sum[0];
  }
  template <class V>
  PYLOSS_INLINE V slope(const V*, V, V, V y) const {
    return y;
  }
};

/// sum (x - y)^2
struct SquaredEuclidean : OneSum {
  static constexpr std::string_view name = "sqeuclidean";
  template <class V>
  PYLOSS_INLINE void step(V* sum, V x, V y) const {
    const V r = x - y;
    sum[0] = fma(r, r, sum[0]);
  }
  template <class V>
  PYLOSS_INLINE V finish(const V* sum) const {
    return sum[0];
  }
  template <class V>
  PYLOSS_INLINE V slope(const V*, V, V x, V y) const {
    return 2.0 * (x - y);
  }
};

/// sqrt(sum (x - y)^2)
struct Euclidean : SquaredEuclidean {
  static constexpr std::string_view name = "euclidean";
  template <class V>
  PYLOSS_INLINE V finish(const V* sum) const {
    return sqrt(sum[0]);
  }
  template <class V>
  PYLOSS_INLINE V slope(const V*, V distance, V x, V y) const {
    return ratio(x - y, distance);
  }
};

/// Angle between unit vectors, 2 asin(|x - y| / 2): only its slope is taken from here.
struct Arc : OneSum {
  static constexpr std::string_view name = "arc";
  static constexpr std::size_t sums = 2, passes = 3;
  template <class V>
  PYLOSS_INLINE void step(V* sum, V x, V y) const {
    const V r = x - y, s = x + y;
    sum[0] = fma(r, r, sum[0]);
    sum[1] = fma(s, s, sum[1]);
  }
  template <class V>
  PYLOSS_INLINE V finish(const V* sum) const {
    return sqrt(sum[0]);
  }
  /// With |x + y|² / 4 for 1 - |x - y|² / 4, which cancels near antipodes; between antipodes every direction is as good: 0.
  template <class V>
  PYLOSS_INLINE V slope(const V* sum, V chord, V x, V y) const {
    return ratio(x - y, 0.5 * chord * sqrt(sum[1]));
  }
};

/// 1 - x y / (|x| |y|): only its slope is taken from here.
struct Cosine : OneSum {
  static constexpr std::string_view name = "cosine";
  static constexpr std::size_t sums = 3, passes = 3;
  template <class V>
  PYLOSS_INLINE void step(V* sum, V x, V y) const {
    sum[0] = fma(x, y, sum[0]);
    sum[1] = fma(x, x, sum[1]);
    sum[2] = fma(y, y, sum[2]);
  }
  template <class V>
  PYLOSS_INLINE V finish(const V* sum) const {
    return 1.0 - ratio(sum[0], sqrt(sum[1]) * sqrt(sum[2]));
  }
  template <class V>
  PYLOSS_INLINE V slope(const V* sum, V, V x, V y) const {
    return ratio(x * ratio(sum[0], sum[1]) - y, sqrt(sum[1]) * sqrt(sum[2]));
  }
};

/// sum |x - y|
struct Manhattan : OneSum {
  static constexpr std::string_view name = "manhattan";
  template <class V>
  PYLOSS_INLINE void step(V* sum, V x, V y) const {
    sum[0] += abs(x - y);
  }
  template <class V>
  PYLOSS_INLINE V finish(const V* sum) const {
    return sum[0];
  }
  template <class V>
  PYLOSS_INLINE V slope(const V*, V, V x, V y) const {
    return sign(x - y);
  }
};

/// max |x - y|. A NaN stays.
struct Chebyshev : OneSum {
  static constexpr std::string_view name = "chebyshev";
  template <class V>
  PYLOSS_INLINE V merge(V a, V b) const {
    return select(b == b, max(a, b), b);
  }
  template <class V>
  PYLOSS_INLINE void step(V* sum, V x, V y) const {
    sum[0] = merge(sum[0], abs(x - y));
  }
  template <class V>
  PYLOSS_INLINE V finish(const V* sum) const {
    return sum[0];
  }
  /// To be divided among the features that attain the maximum.
  template <class V>
  PYLOSS_INLINE V slope(const V*, V distance, V x, V y) const {
    return select(abs(x - y) == distance, sign(x - y), 0.0);
  }
};

/// (sum |x - y|^p)^(1/p)
struct Minkowski : OneSum {
  static constexpr std::string_view name = "minkowski";
  static constexpr std::size_t passes = 3;
  double p;

  template <class V>
  PYLOSS_INLINE V power(V a, double exponent) const {
    return exp(exponent * log(a));
  }
  template <class V>
  PYLOSS_INLINE void step(V* sum, V x, V y) const {
    sum[0] += power(abs(x - y), p);
  }
  template <class V>
  PYLOSS_INLINE V finish(const V* sum) const {
    return power(sum[0], 1.0 / p);
  }
  template <class V>
  PYLOSS_INLINE V slope(const V*, V distance, V x, V y) const {
    const V r = ratio(abs(x - y), distance);
    return select(r == 0.0, 0.0, sign(x - y) * power(r, p - 1.0));
  }
};

/// sum |x - y| / (|x| + |y|)
struct Canberra : OneSum {
  static constexpr std::string_view name = "canberra";
  static constexpr bool scale_free = true;
  static constexpr std::size_t passes = 3;
  template <class V>
  PYLOSS_INLINE void step(V* sum, V x, V y) const {
    sum[0] += ratio(abs(x - y), abs(x) + abs(y));
  }
  template <class V>
  PYLOSS_INLINE V finish(const V* sum) const {
    return sum[0];
  }
  template <class V>
  PYLOSS_INLINE V slope(const V*, V, V x, V y) const {
    const V size = abs(x) + abs(y);
    return ratio(sign(x - y) - sign(x) * ratio(abs(x - y), size), size);
  }
};

/// sum |x - y| / sum |x + y|
struct BrayCurtis : OneSum {
  static constexpr std::string_view name = "braycurtis";
  static constexpr bool scale_free = true;
  static constexpr std::size_t sums = 2, passes = 3;
  template <class V>
  PYLOSS_INLINE void step(V* sum, V x, V y) const {
    sum[0] += abs(x - y);
    sum[1] += abs(x + y);
  }
  template <class V>
  PYLOSS_INLINE V finish(const V* sum) const {
    return select(sum[0] == 0.0, 0.0, sum[0] / sum[1]);
  }
  template <class V>
  PYLOSS_INLINE V slope(const V* sum, V distance, V x, V y) const {
    return ratio(sign(x - y) - distance * sign(x + y), sum[1]);
  }
};

/// Share of the features that differ.
struct Hamming : OneSum {
  static constexpr std::string_view name = "hamming";
  static constexpr bool differentiable = false;
  double depth;

  template <class V>
  PYLOSS_INLINE void step(V* sum, V x, V y) const {
    sum[0] += select(x != y, 1.0, 0.0);
  }
  template <class V>
  PYLOSS_INLINE V finish(const V* sum) const {
    return sum[0] / depth;
  }
};

/// Share of the features where one is 0 and the other is not among those where x or y is not 0.
struct Jaccard : OneSum {
  static constexpr std::string_view name = "jaccard";
  static constexpr bool differentiable = false;
  static constexpr std::size_t sums = 2, passes = 3;
  template <class V>
  PYLOSS_INLINE void step(V* sum, V x, V y) const {
    const auto in_x = x != 0.0, in_y = y != 0.0;
    sum[0] += select((in_x | in_y) & !(in_x & in_y), 1.0, 0.0);
    sum[1] += select(in_x | in_y, 1.0, 0.0);
  }
  template <class V>
  PYLOSS_INLINE V finish(const V* sum) const {
    return ratio(sum[0], sum[1]);
  }
};

/// sqrt of the Jensen-Shannon divergence, in nats, of rows that add up to 1.
struct JensenShannon : OneSum {
  static constexpr std::string_view name = "jensenshannon";
  static constexpr std::size_t passes = 6;

  /// With x, y = m (1 ± d), x log(x / m) + y log(y / m) = m (log1p(-d²) + d (log1p(d) - log1p(-d))), which loses nothing where x is near
  /// y; where they differ much, m ((1 + d) log1p(d) + (1 - d) log1p(-d)).
  template <class V>
  PYLOSS_INLINE void step(V* sum, V x, V y) const {
    const V both = x + y, d = abs(ratio(x - y, both)), up = log1p(d), down = log1p(-d);
    const V near = log1p(-d * d) + d * (up - down), far = (1.0 + d) * up + (1.0 - d) * down;
    sum[0] += 0.5 * both * select(d >= 1.0, 2.0 * 0.69314718055994531, select(d > 0.5, far, near));
  }
  template <class V>
  PYLOSS_INLINE V finish(const V* sum) const {
    return sqrt(max(0.5 * sum[0], V(0.0)));
  }
  /// Infinite where x is 0 and y is not.
  template <class V>
  PYLOSS_INLINE V slope(const V*, V distance, V x, V y) const {
    return select(x + y == 0.0, 0.0, ratio(log(ratio(2.0 * x, x + y)), 4.0 * distance));
  }
};

}  // namespace pyloss::distances
