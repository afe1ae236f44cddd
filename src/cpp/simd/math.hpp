// Elementary functions on packs, inlined into the kernels. Written with the operators of pack.hpp and with what native.hpp does
// alike everywhere, so that every level with FMA computes the same bits. NaN gives NaN; infinities, zeros, subnormals and the edges of
// overflow are as in the C library. The worst errors, in units in the last place (ULP), are those of tests/sweep_math.py: float32 over all
// 2^32 inputs; of erf, atan, expm1_above_tangent, the bend of log_cosh and the powers they are those of tests/test_math.py, which takes
// samples.
#pragma once

#include "pack.hpp"

namespace pyloss::simd {

/// high + low, where the error of low is far below the last place of the sum.
template <class T>
struct Two {
  Pack<T> high, low;

  PYLOSS_INLINE Pack<T> sum() const { return high + low; }
};

namespace detail {

/// c0 + c1 x + c2 x² + ..., by Horner's rule: other iterations fill the pipeline, so fewer operations win (measured against pairs).
template <class V>
PYLOSS_INLINE V polynomial(V, double c) {
  return c;
}
template <class V, class... Rest>
PYLOSS_INLINE V polynomial(V x, double c, Rest... rest) {
  return fma(polynomial(x, rest...), x, V(c));
}

/// A polynomial at x, and (p(x) - p(y)) / (x - y), which does not cancel however near y is.
template <class V>
struct Divided {
  V at, slope;
};
template <class V>
PYLOSS_INLINE Divided<V> divided(V, V, double c) {
  return {c, 0.0};
}
template <class V, class... Rest>
PYLOSS_INLINE Divided<V> divided(V x, V y, double c, Rest... rest) {
  const auto [at, slope] = divided(x, y, rest...);
  return {fma(at, x, V(c)), fma(slope, y, at)};
}

/// log 2 in two parts; n * high is exact for every exponent n.
template <class T>
struct Log2;
template <>
struct Log2<float> {
  static constexpr double high = 0x1.62e4p-1, low = 1.4286068203094173e-06;
};
template <>
struct Log2<double> {
  static constexpr double high = 0x1.62e42feep-1, low = 0x1.a39ef35793c76p-33;
};

/// exp(x) = 2^n (1 + r + r² q), r in an interval around 0 of width log 2; n is 0 where x is within it.
template <class T>
struct Exponent {
  Pack<T> n, r, q;
};

/// `x` within a few units of the range where exp neither overflows nor vanishes.
template <class T>
PYLOSS_INLINE Exponent<T> reduce(Pack<T> x) {
  using V = Pack<T>;
  // For float32 the interval is [-0.288, 0.406]: results below 1 have finer last places, so there r and q may round less.
  constexpr double shift = sizeof(T) == 4 ? -0.085 : 0.0;
  const V n = round(fma(x, V(1.4426950408889634), V(shift)));
  const V r = fma(n, -Log2<T>::low, fma(n, -Log2<T>::high, x));
  // Minimax polynomials of (exp(r) - 1 - r) / r² with relative error 2^-28 and 2^-57 of exp.
  if constexpr (sizeof(T) == 4) {
    return {n, r, polynomial(r, 0.5000001912467467, 0.16666572474998073, 0.04165820907981457, 0.008360118468632705, 0.0014651444625090092)};
  } else {
    return {n, r,
            polynomial(r, 0x1.000000000000ap-1, 0x1.55555555554f9p-3, 0x1.555555555083fp-5, 0x1.1111111127d44p-7, 0x1.6c16c18438a5fp-10,
                       0x1.a01a0129fd321p-13, 0x1.a01999e263ba8p-16, 0x1.71df25da29bb9p-19, 0x1.28ad9b981a367p-22, 0x1.ad7f0356ca8f7p-26)};
  }
}

/// Just beyond the arguments at which exp overflows, and below which it rounds to 0.
template <class T>
inline constexpr double exp_high = sizeof(T) == 4 ? 89.0 : 710.0;
template <class T>
inline constexpr double exp_low = sizeof(T) == 4 ? -104.0 : -746.0;

/// A number 2^n (high + low), |low| far smaller.
template <class T>
struct Parts {
  Pack<T> n, high, low;

  PYLOSS_INLINE Pack<T> scaled(Pack<T> x) const { return simd::scale_by_power_of_two(x.v, n.v); }
  PYLOSS_INLINE Pack<T> sum() const { return scaled(high + low); }
  /// The same number with low below the last place of high, and n = 0.
  PYLOSS_INLINE Parts rounded() const {
    const Pack<T> whole = high + low;
    return {0.0, scaled(whole), scaled((high - whole) + low)};
  }
};

/// e^x for x within range.
template <class T>
PYLOSS_INLINE Parts<T> exp_parts(Pack<T> x) {
  const auto [n, r, q] = reduce(x);
  // With fma and float32, 1 + (r + r² q) stays just below 1 ULP; otherwise 1 + r is kept in two parts, for a quarter of a ULP.
  if constexpr (sizeof(T) == 4 && has_fma) return {n, 1.0, fma(r * r, q, r)};
  const Pack<T> high = 1.0 + r;
  return {n, high, fma(r * r, q, (1.0 - high) + r)};
}

/// e^x for x clamped to [least, most].
template <class T>
PYLOSS_INLINE Parts<T> exp_parts(Two<T> x, double least, double most) {
  auto at = exp_parts(clamp(x.high, least, most));
  // What a number beyond the clamp lacks is not small.
  at.low = fma(at.high + at.low, clamp(x.low, -1e-3, 1e-3), at.low);
  return at;
}

/// e^x - 1 as 2^n ((1 - 2^-n) + r + r² q); -1 below the clamp.
template <class T>
PYLOSS_INLINE Parts<T> expm1_parts(Pack<T> x) {
  using V = Pack<T>;
  const auto [n, r, q] = reduce(clamp(x, sizeof(T) == 4 ? -20.0 : -45.0, exp_high<T>));
  const V start = 1.0 - V(simd::scale_by_power_of_two(V(1.0).v, (-n).v)), high = start + r;
  return {n, high, fma(r * r, q, (start - high) + r)};
}

/// numerator / (start + addend), |addend| <= start: what all roundings but the last lose is added again.
template <class T>
PYLOSS_INLINE Pack<T> share(Parts<T> numerator, Parts<T> addend, double start) {
  using V = Pack<T>;
  const V sum = start + addend.high, lost = ((start - sum) + addend.high) + addend.low;
  const V inverse = 1.0 / sum, quotient = numerator.high * inverse;
  return fma(fma(-quotient, sum, numerator.high) + (numerator.low - quotient * lost), inverse, quotient);
}

/// What rounding a * b to `product` has lost.
template <class T>
PYLOSS_INLINE Pack<T> lost_by_product(Pack<T> a, Pack<T> b, Pack<T> product) {
  if constexpr (has_fma) return fma(a, b, -product);
  constexpr double splitter = sizeof(T) == 4 ? 4097.0 : 134217729.0;  // Dekker's: halves whose products are exact
  const auto halves = [](Pack<T> x) {
    const Pack<T> big = x * splitter, upper = big - (big - x);
    return Two<T>{upper, x - upper};
  };
  const Two<T> x = halves(a), y = halves(b);
  return ((x.high * y.high - product) + x.high * y.low + x.low * y.high) + x.low * y.low;
}

/// a b - 1, rounded once, for a product near 1.
template <class T>
PYLOSS_INLINE Pack<T> less_one(Pack<T> a, Pack<T> b) {
  if constexpr (has_fma) return fma(a, b, Pack<T>(-1.0));
  const Pack<T> product = a * b;
  return (product - 1.0) + lost_by_product(a, b, product);
}

/// 1 + x, and what rounding it loses.
template <class T>
PYLOSS_INLINE Two<T> add_one(Pack<T> x) {
  const Pack<T> sum = 1.0 + x, back = sum - x;
  return {sum, (1.0 - back) + (x - (sum - back))};
}

/// For mantissas in [3/4, 3/2), by their four leading bits: a number near the inverse, and the logarithm of what it is the inverse of. The
/// inverses were sought, near the middle of each interval, for logarithms that are to far below a last place so short that n log 2 can be
/// added exactly: for float32, where |n| goes to 277, multiples of 2^-16. Around 1 they are 1 and 0.
template <class T>
struct NearMantissa;
template <>
struct NearMantissa<float> {
  static constexpr std::array<float, 16> inverse{
      0x1.000000p+0f, 0x1.d4b2f8p-1f, 0x1.b882a8p-1f, 0x1.a603eap-1f, 0x1.8f1190p-1f, 0x1.7deac0p-1f, 0x1.6c087cp-1f, 0x1.5bc826p-1f,
      0x1.4dac4cp+0f, 0x1.41f962p+0f, 0x1.35c0c0p+0f, 0x1.320370p+0f, 0x1.1e1064p+0f, 0x1.147d58p+0f, 0x1.0deb82p+0f, 0x1.000000p+0f};
  static constexpr std::array<float, 16> log{0x0.0p+0f,    0x1.69fp-4f,  0x1.34p-3f,    0x1.8bd8p-3f,  0x1.fe58p-3f,  0x1.2c28p-2f,
                                             0x1.5d44p-2f, 0x1.8c08p-2f, -0x1.0f58p-2f, -0x1.d598p-3f, -0x1.8658p-3f, -0x1.6d78p-3f,
                                             -0x1.c6dp-4f, -0x1.3b6p-4f, -0x1.b1cp-5f,  0x0.0p+0f};
};
template <>
struct NearMantissa<double> {
  static constexpr std::array<double, 16> inverse{0x1.0000000000000p+0, 0x1.d41d41c572985p-1, 0x1.bacf915ad203fp-1, 0x1.a41a419af3fbcp-1,
                                                  0x1.8f9c190685d4dp-1, 0x1.7d05f41ee6a1ep-1, 0x1.6c16c16c1e159p-1, 0x1.5c9882c4f7e14p-1,
                                                  0x1.4e5e0a80676b3p+0, 0x1.4141414d10542p+0, 0x1.3521cfbee6e87p+0, 0x1.29e412a6dfda9p+0,
                                                  0x1.1f7047d68b32fp+0, 0x1.15b1e5ef8b1fdp+0, 0x1.0c9714f4b8d02p+0, 0x1.0000000000000p+0};
  static constexpr std::array<double, 16> log{0x0.0p+0,           0x1.6f0d292eacp-4,  0x1.29552f3df4p-3,  0x1.9525a9fbep-3,
                                              0x1.fb91869476p-3,  0x1.2e8e2b9b06p-2,  0x1.5d1bdbf56cp-2,  0x1.89a338497cp-2,
                                              -0x1.1178e84bbbp-2, -0x1.d1037f719ep-3, -0x1.823c16a5d4p-3, -0x1.365fcb3c9cp-3,
                                              -0x1.da7275e984p-4, -0x1.4d31155f4cp-4, -0x1.894aa072p-5,   0x0.0p+0};
};

/// base + (r + tail): |r| is at most 1/16, |tail| far smaller than |base + r|.
template <class T>
struct Logarithm {
  Pack<T> base, r, tail;

  PYLOSS_INLINE Pack<T> sum() const { return base + (r + tail); }
  /// In more digits than one number has: |base| is 0 or larger than |r|.
  PYLOSS_INLINE Two<T> in_two() const {
    const Pack<T> high = base + r;
    return {high, ((base - high) + r) + tail};
  }
};

/// log(2^exponent (mantissa + lost)) for a mantissa in [3/4, 3/2) and what little its rounding has lost, if it has.
template <bool has_lost, class T>
PYLOSS_INLINE Logarithm<T> log_of(Pack<T> exponent, Pack<T> mantissa, Pack<T> lost) {
  using V = Pack<T>;
  const V inverse = by_leading_bits(NearMantissa<T>::inverse, mantissa.v), near = by_leading_bits(NearMantissa<T>::log, mantissa.v);
  V r = less_one(mantissa, inverse);
  if constexpr (has_lost) r = fma(lost, inverse, r);
  // (log(1 + r) - r) / r² on [-0.0322, 0.0625], by minimax polynomials of relative error 2^-28 and 2^-65 of log.
  V q;
  if constexpr (sizeof(T) == 4) {
    q = polynomial(r, -0.5, 0.33334463834762573, -0.25009143352508545, 0.18887631595134735);
  } else {
    q = polynomial(r, -0.5, 0x1.5555555555554p-2, -0x1.0000000000073p-2, 0x1.999999999efbep-3, -0x1.55555554c5c64p-3, 0x1.249248edeee8ep-3,
                   -0x1.0000009cce568p-3, 0x1.c71e2c268a19cp-4, -0x1.99acaaf25d1cdp-4, 0x1.7242721631ffcp-4, -0x1.233e99646845fp-4);
  }
  return {fma(exponent, V(Log2<T>::high), near), r, fma(r * r, q, exponent * V(Log2<T>::low))};
}
template <class T>
PYLOSS_INLINE Logarithm<T> log_of(Pack<T> x) {
  const auto [mantissa, exponent] = simd::split(x.v);
  return log_of<false, T>(exponent, mantissa, 0.0);
}

/// `result` where x is positive and finite; else what the logarithm is there.
template <class T>
PYLOSS_INLINE Pack<T> log_edges(Pack<T> x, Pack<T> result) {
  return with_edges<Edge::minus_infinity, Edge::infinity>(x.v, result.v);
}

/// log(2^n (u + lost)), without its edges. Here and below, an n of -0.0 costs nothing: compilers know that adding it changes no number.
template <class T>
PYLOSS_INLINE Logarithm<T> log_of_sum(Pack<T> u, Pack<T> lost, Pack<T> n) {
  const auto [mantissa, exponent] = simd::split(u.v);
  return log_of<true, T>(Pack<T>(exponent) + n, mantissa, simd::scale_by_power_of_two(lost.v, -exponent));
}

/// log(2^n (1 + x)), without its edges; n is 0 where x is small.
template <class T>
PYLOSS_INLINE Logarithm<T> log1p_of(Pack<T> x, Pack<T> n = -0.0) {
  const Two<T> sum = add_one(x);
  return log_of_sum(sum.high, sum.low, n);
}

/// log(2^n u) where `far`, log(2^n (1 + x)) elsewhere, without their edges.
template <class T>
PYLOSS_INLINE Logarithm<T> log1p_or_log_of(Pack<T> x, Mask<T> far, Pack<T> u, Pack<T> n = -0.0) {
  const Two<T> sum = add_one(x);
  return log_of_sum(select(far, u, sum.high), select(far, 0.0, sum.low), n);
}

/// log(2^n u), where 2^n u is 1 + x: near 1 x has the digits, elsewhere u.
template <class T>
PYLOSS_INLINE Logarithm<T> log1p_of_both_of(Pack<T> x, Pack<T> u, Pack<T> n = -0.0) {
  const auto [mantissa, exponent] = simd::split(u.v);
  const Pack<T> whole = Pack<T>(exponent) + n, lost = select(whole == 0.0, x - (Pack<T>(mantissa) - 1.0), 0.0);
  return log_of<true, T>(whole, mantissa, lost);
}

/// y (high + low), as a rounded number and what it lacks.
template <class T>
PYLOSS_INLINE Two<T> times(Two<T> a, Pack<T> y, Pack<T> y_low) {
  const Pack<T> product = a.high * y, rest = lost_by_product(a.high, y, product) + (a.low * y + a.high * y_low);
  const Pack<T> sum = product + rest;
  return {sum, (product - sum) + rest};
}

/// y in two parts; float32 alone needs the second.
template <class T>
PYLOSS_INLINE Two<T> in_parts(double y) {
  return {Pack<T>(y), Pack<T>(y - static_cast<double>(static_cast<T>(y)))};
}

}  // namespace detail

/// e^x. At most 1 ULP.
template <class T>
PYLOSS_INLINE Pack<T> exp(Pack<T> x) {
  return detail::exp_parts(clamp(x, detail::exp_low<T>, detail::exp_high<T>)).sum();
}

/// e^a.
template <class T>
PYLOSS_INLINE Pack<T> exp(Two<T> a) {
  const auto at = detail::exp_parts(a, detail::exp_low<T>, detail::exp_high<T>);
  return at.sum();
}

/// e^x for x <= 0: the same bits as exp.
template <class T>
PYLOSS_INLINE Pack<T> exp_nonpositive(Pack<T> x) {
  return detail::exp_parts(max(x, detail::exp_low<T>)).sum();
}

/// e^x for x <= 0 as a product: the same bits as exp. Both factors are normal far beyond the x at which e^x is 0; then the first is 0.
template <class T>
struct Factors {
  Pack<T> first, second;
};
template <class T>
PYLOSS_INLINE Factors<T> exp_in_factors(Pack<T> x) {
  constexpr double least = 1.6 * detail::exp_low<T>;
  const auto at = detail::exp_parts(max(x, least));
  const Pack<T> half = round(0.5 * at.n);
  return {select(x < least, 0.0, simd::scale_by_power_of_two((at.high + at.low).v, half.v)),
          simd::scale_by_power_of_two(Pack<T>(1.0).v, (at.n - half).v)};
}

/// e^x - 1, accurate near 0. At most 2 ULP.
template <class T>
PYLOSS_INLINE Pack<T> expm1(Pack<T> x) {
  return copysign(detail::expm1_parts(x).sum(), x);
}

/// Natural logarithm; -inf at 0, NaN below. At most 1 ULP.
template <class T>
PYLOSS_INLINE Pack<T> log(Pack<T> x) {
  return detail::log_edges(x, detail::log_of(x).in_two().sum());
}

/// e^x - 1 - x, accurate near 0. At most 3 ULP of float32, 4 of float64.
template <class T>
PYLOSS_INLINE Pack<T> expm1_above_tangent(Pack<T> x) {
  const auto at = detail::expm1_parts(x);
  Pack<T> series;
  if constexpr (sizeof(T) == 4) {
    series = detail::polynomial(x, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880);
  } else {
    series = detail::polynomial(x, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
                                1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0, 1.0 / 87178291200.0, 1.0 / 1307674368000.0);
  }
  const auto far = select(x > 64.0, at.sum(), (at.scaled(at.high) - x) + at.scaled(at.low));
  return select(abs(x) < 0.5, x * x * series, far);
}

/// log(1 + x), accurate near 0; -inf at -1, NaN below. At most 2 ULP.
template <class T>
PYLOSS_INLINE Pack<T> log1p(Pack<T> x) {
  return detail::log_edges(1.0 + x, copysign(detail::log1p_of(x).in_two().sum(), x));
}

/// log(u) where `far`, log(1 + x) elsewhere: for the work of one. At most 2 ULP.
template <class T>
PYLOSS_INLINE Pack<T> log1p_or_log(Pack<T> x, Mask<T> far, Pack<T> u) {
  return detail::log_edges(select(far, u, 1.0 + x), detail::log1p_or_log_of(x, far, u).sum());
}

/// log(u), where u is 1 + x and each of them has its digits: for less work than log1p. At most 3 ULP with u rounded once.
template <class T>
PYLOSS_INLINE Pack<T> log1p_of_both(Pack<T> x, Pack<T> u) {
  return detail::log_edges(u, detail::log1p_of_both_of(x, u).sum());
}

/// log(1 + x) for x in [0, 1], for far less work. At most 2 ULP.
template <class T>
PYLOSS_INLINE Pack<T> log1p_unit(Pack<T> x) {
  using V = Pack<T>;
  if constexpr (sizeof(T) == 4 && has_fma) {
    // One polynomial does for the whole interval; minimax among float32 coefficients, relative error 2^-28.
    return fma(
        x * x,
        detail::polynomial(x, -0.5, 0.3333309292793274, -0.249933123588562, 0.19926325976848602, -0.16228264570236206, 0.12679101526737213,
                           -0.08590932935476303, 0.044289395213127136, -0.01467799860984087, 0.0022756794933229685),
        x);
  } else {
    // 1 + x, halved from 3/2 on, is the mantissa: no bits need be taken apart.
    const V sum = 1.0 + x, lost = x - (sum - 1.0);
    const auto upper = sum >= 1.5;
    return detail::log_of<true, T>(select(upper, 1.0, 0.0), select(upper, 0.5 * sum, sum), select(upper, 0.5 * lost, lost)).in_two().sum();
  }
}

/// 1 / (1 + e^-x), accurate in both tails. At most 2 ULP.
template <class T>
PYLOSS_INLINE Pack<T> sigmoid(Pack<T> x) {
  const auto e = detail::exp_parts(max(-abs(x), detail::exp_low<T>)).rounded();
  const auto negative = x < 0.0;
  return detail::share<T>({0.0, select(negative, e.high, 1.0), select(negative, e.low, 0.0)}, e, 1.0);
}

/// log(1 + e^x), without overflow and accurate in both tails. At most 2 ULP.
template <class T>
PYLOSS_INLINE Pack<T> softplus(Pack<T> x) {
  return max(x, 0.0) + log1p_unit(exp_nonpositive(-abs(x)));
}

/// -m / (2 + m) with m = e^(-2|x|) - 1. At most 2 ULP.
template <class T>
PYLOSS_INLINE Pack<T> tanh(Pack<T> x) {
  const auto m = detail::expm1_parts(-2.0 * abs(x)).rounded();
  return copysign(detail::share<T>({0.0, -m.high, -m.low}, m, 2.0), x);
}

/// A function and its first two derivatives.
template <class T>
struct Derivatives {
  Pack<T> value, slope, bend;
};

/// log(cosh(x)), tanh(x) and 1 - tanh(x)². At most 2 ULP, the last one 5.
template <class T>
PYLOSS_INLINE Derivatives<T> log_cosh(Pack<T> x) {
  using V = Pack<T>;
  const V size = abs(x), e = exp_nonpositive(-2.0 * size), sum = 1.0 + e, square = x * x;
  // Up to the cut by x², beyond it by e. For float32, minimax among float32 coefficients: relative errors 2^-30, 2^-27 and 2^-28. For
  // float64, interpolated at Chebyshev's points: 2^-61.
  const auto near = size < 0.65625;
  V above_tangent, slope, log;
  if constexpr (sizeof(T) == 4) {
    above_tangent = detail::polynomial(square, -0.08333327621221542, 0.02222026325762272, -0.006724256556481123, 0.0020798067562282085,
                                       -0.0004885080270469189);
    slope = select(near,
                   fma(size * square,
                       detail::polynomial(square, -0.33333253860473633, 0.13330666720867157, -0.0536746010184288, 0.020426955074071884,
                                          -0.005469553638249636),
                       size),
                   fma(-2.0 * e, 1.0 / sum, V(1.0)));
    log = fma(
        e * e,
        detail::polynomial(e, -0.4999908208847046, 0.33301860094070435, -0.24591276049613953, 0.1740289330482483, -0.08106398582458496), e);
  } else {
    above_tangent = detail::polynomial(square, -0x1.5555555555555p-4, 0x1.6c16c16c16bc1p-6, -0x1.ba1ba1ba12529p-8, 0x1.1ea5d398a25eep-9,
                                       -0x1.833d9b5fbf033p-11, 0x1.0d0b34e89f21ep-12, -0x1.7d9f6abaa9289p-14, 0x1.12cc2480cf3bap-15,
                                       -0x1.8e85aefbbe332p-17, 0x1.19ef7521f7080p-18, -0x1.5ab50131906acp-20, 0x1.07120e7dcd971p-22);
    slope = tanh(size);
    log = log1p_unit(e);
  }
  const V far = (size - detail::Log2<T>::high) + (log - detail::Log2<T>::low);
  return {select(near, square * fma(square, above_tangent, V(0.5)), far), copysign(slope, x), 4.0 * e / (sum * sum)};
}

/// The integral of 2 exp(-t²) / sqrt(pi) from 0 to x. At most 2 ULP.
template <class T>
PYLOSS_INLINE Pack<T> erf(Pack<T> x) {
  using V = Pack<T>;
  const V size = min(abs(x), 6.0), square = size * size, s = 1.0 / (1.0 + size) - 0.3125;
  // erf(x) / x - 1 by x² up to 1, beyond it exp(x²) erfc(x) by 1 / (1 + x): relative errors 2^-29 and 2^-54.
  V near, far;
  if constexpr (sizeof(T) == 4) {
    near = detail::polynomial(square, 0.12837916612625122, -0.3761262595653534, 0.11283594369888306, -0.02685452625155449,
                              0.0051902118138968945, -0.0008030602475628257, 7.931934669613838e-05);
    far = detail::polynomial(s, 0.23559296131134033, 0.9397261142730713, 0.5264397263526917, -0.36979952454566956, -0.3311755061149597,
                             0.5961230993270874, -0.023347212001681328, -0.9100246429443359, 1.0264313220977783);
  } else {
    near = detail::polynomial(square, 0x1.06eba8214db68p-3, -0x1.812746b0379c1p-2, 0x1.ce2f21a040f66p-4, -0x1.b82ce31203772p-6,
                              0x1.565bccfa44156p-8, -0x1.c02db0665e53dp-11, 0x1.f9a2be4f731a1p-14, -0x1.f4ca838adb73bp-17,
                              0x1.b981d78881a5dp-20, -0x1.5c131500d3f88p-23, 0x1.d76af6ca49787p-27, -0x1.ac9585a44fe29p-31);
    far = detail::polynomial(s, 0x1.e27e905156c28p-3, 0x1.e123c7819154cp-1, 0x1.0d897fbc8171bp-1, -0x1.7aad196d83c5cp-2,
                             -0x1.531ae78ebca63p-2, 0x1.31589ecc67e9bp-1, -0x1.a42a77ae399ddp-6, -0x1.da131280de873p-1,
                             0x1.28d723499051fp+0, 0x1.ef156fe993bffp-3, -0x1.6b1df5e64d93ap+1, 0x1.0701ce625f1cap+2, -0x1.9ca5cd07b1b25p-2,
                             -0x1.358ca2949beabp+3, 0x1.43c0d51de647cp+4, -0x1.d1b9616a24644p+3, -0x1.dcf7c480aef7ap+4,
                             0x1.901424c2f0a68p+6, -0x1.5c298e6b7648bp+6, -0x1.f72099293de65p+4);
  }
  return copysign(select(size < 1.0, fma(size, near, size), fma(exp_nonpositive(-square), -far, V(1.0))), x);
}

/// x^y for x >= 0 and finite y; 0^0 and inf^0 are 1, NaN below. At most 2 ULP where |y| <= 4.
template <class T>
PYLOSS_INLINE Pack<T> pow(Pack<T> x, double y) {
  using V = Pack<T>;
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  if (y == 0.0) return select(x >= 0.0, 1.0, nan);
  if (y == 1.0 || y == 2.0 || y == 3.0 || y == 4.0) {
    const V square = x * x;
    return select(x >= 0.0, y == 1.0 ? x : y == 2.0 ? square : y == 3.0 ? square * x : square * square, nan);
  }
  const auto [y_high, y_low] = detail::in_parts<T>(y);
  const V power = exp(detail::times(detail::log_of(x).in_two(), y_high, y_low));
  return y > 0.0 ? with_edges<Edge::zero, Edge::infinity>(x.v, power.v) : with_edges<Edge::infinity, Edge::zero>(x.v, power.v);
}

template <class T>
PYLOSS_INLINE Two<T> select(Mask<T> where, Two<T> a, Two<T> b) {
  return {select(where, a.high, b.high), select(where, a.low, b.low)};
}

/// log x for x positive and finite.
template <class T>
PYLOSS_INLINE Two<T> log_in_two(Pack<T> x) {
  return detail::log_of(x).in_two();
}

/// That of the power x^y; 0 for y = 0, whatever x. Infinite logarithms, of 0 and of infinity, become large ones.
template <class T>
PYLOSS_INLINE Two<T> log_of_power(Two<T> log_x, double y) {
  if (y == 0.0) return {0.0, 0.0};
  const auto [y_high, y_low] = detail::in_parts<T>(y);
  return detail::times<T>({clamp(log_x.high, -1e30, 1e30), log_x.low}, y_high, y_low);
}

/// 2^n fraction, the fraction near 1: a number that may be as far beyond the type's range as the product of any two numbers can come back
/// from.
template <class T>
struct Scaled {
  static constexpr double most = sizeof(T) == 4 ? 456.0 : 3896.0;  // of |n|

  Pack<T> n, fraction;
};

template <class T>
PYLOSS_INLINE Scaled<T> select(Mask<T> where, Scaled<T> a, Scaled<T> b) {
  return {select(where, a.n, b.n), select(where, a.fraction, b.fraction)};
}

/// e^x.
template <class T>
PYLOSS_INLINE Scaled<T> scaled_exp(Two<T> x) {
  constexpr double bound = 0.693 * Scaled<T>::most;
  const auto at = detail::exp_parts(x, -bound, bound);
  return {at.n, at.high + at.low};
}

/// x y, for y positive and finite.
template <class T>
PYLOSS_INLINE Scaled<T> times(Scaled<T> x, Pack<T> y) {
  const auto [mantissa, exponent] = split(y.v);
  return {clamp(x.n + Pack<T>(exponent), -Scaled<T>::most, Scaled<T>::most), x.fraction * Pack<T>(mantissa)};
}

/// a b x, finite and not 0 wherever that is; 0 where b is. At most 4 ULP with x = e^y.
template <class T>
PYLOSS_INLINE Pack<T> product(Pack<T> a, std::type_identity_t<Pack<T>> b, Scaled<T> x) {
  using V = Pack<T>;
  // Small ones are raised first, so that what follows is not subnormal.
  constexpr double raised = sizeof(T) == 4 ? 48.0 : 106.0, power_of_raised = sizeof(T) == 4 ? 0x1p48 : 0x1p106;
  const auto small = abs(a) < power_of_raised * static_cast<double>(std::numeric_limits<T>::min());
  const V n = x.n - select(small, raised, 0.0), first = round(0.5 * n);
  // Each factor moves the product the same way, so that nothing between a and the result leaves the range.
  const V start = simd::scale_by_power_of_two(select(small, a * power_of_raised, a).v, first.v);
  return simd::scale_by_power_of_two(times_or_zero(b * x.fraction, start).v, (n - first).v);
}

/// log(2^n (1 + x)) for finite x >= 0 and, where n is not 0, large x; in more digits than one number has. With what follows it makes
/// powers: (1 + x)^y is at most 2 ULP wrong where |y| <= 4, less one 4 ULP, also near 0.
template <class T>
PYLOSS_INLINE Two<T> log1p_in_two(Pack<T> x, Pack<T> n = -0.0) {
  return detail::log1p_of(x, n).in_two();
}

/// log(2^n u) where `far`, log(2^n (1 + x)) elsewhere, of positive and finite arguments; in more digits than one number has.
template <class T>
PYLOSS_INLINE Two<T> log1p_or_log_in_two(Pack<T> x, Mask<T> far, Pack<T> u, Pack<T> n) {
  return detail::log1p_or_log_of(x, far, u, n).in_two();
}

/// log(2^n u), where 2^n u is 1 + x and each of them has its digits, positive and finite; in more digits than one number has.
template <class T>
PYLOSS_INLINE Two<T> log1p_of_both_in_two(Pack<T> x, Pack<T> u, Pack<T> n) {
  return detail::log1p_of_both_of(x, u, n).in_two();
}

/// y a, where y may come in two parts.
template <class T>
PYLOSS_INLINE Two<T> times(Two<T> a, Two<T> y) {
  return detail::times(a, y.high, y.low);
}
template <class T>
PYLOSS_INLINE Two<T> times(Two<T> a, Pack<T> y) {
  return detail::times(a, y, Pack<T>(0.0));
}

/// a + b, and what rounding it loses.
template <class T>
PYLOSS_INLINE Two<T> sum_in_two(Pack<T> a, Pack<T> b) {
  const Pack<T> sum = a + b, back = sum - a;
  return {sum, (a - (sum - back)) + (b - back)};
}

/// e^a - 1.
template <class T>
PYLOSS_INLINE Pack<T> expm1(Two<T> a) {
  const Pack<T> less_one = expm1(a.high);
  return select(less_one < infinity<T>, fma(less_one + 1.0, a.low, less_one), less_one);
}

/// Inverse tangent. At most 2 ULP.
template <class T>
PYLOSS_INLINE Pack<T> atan(Pack<T> x) {
  using V = Pack<T>;
  // From 1/2 on it is pi/4 + atan((a - 1) / (a + 1)), where a - 1 is exact; beyond tan(3 pi/8) pi/2 - atan(1 / a).
  const V a = abs(x);
  const auto steep = a > 2.414213562373095, middle = a > 0.5;
  const V r = select(steep, -1.0, select(middle, a - 1.0, a)) / select(steep, a, select(middle, a + 1.0, 1.0)), z = r * r;
  // pi/2 and what rounding it loses.
  constexpr double high = sizeof(T) == 4 ? 0x1.921fb6p+0 : 0x1.921fb54442d18p+0;
  constexpr double low = sizeof(T) == 4 ? -4.371139000186241e-08 : 0x1.1a62633145c07p-54;
  const V turns = select(steep, 1.0, select(middle, 0.5, 0.0));
  // Minimax polynomials of (atan(r) - r) / r³ for |r| up to 1/2, with relative error 2^-34 and 2^-60 of atan.
  V q;
  if constexpr (sizeof(T) == 4) {
    q = detail::polynomial(z, -0.33333333312024667, 0.19999991628090318, -0.14285172263231363, 0.11097799754415336, -0.089324582953161775,
                           0.066913039987565949, -0.032740468968388432);
  } else {
    q = detail::polynomial(z, -0.33333333333333333, 0.19999999999999488, -0.14285714285599188, 0.11111111100917375, -0.090909086203225222,
                           0.076922947125402845, -0.066664356772359478, 0.058795784295824249, -0.052400995079947131, 0.046280248685701532,
                           -0.038066536720573659, 0.025006503566489508, -0.0092157920470898591);
  }
  return copysign(fma(turns, V(high), fma(turns, V(low), fma(r * z, q, r))), x);
}

/// (atanh(h) - h) / h³ by y = h² in [0, 1/4]. At most 2 ULP.
template <class T>
PYLOSS_INLINE Pack<T> atanh_above_tangent(Pack<T> y) {
  // Interpolated at Chebyshev's points, with relative errors 2^-28 and 2^-59.
  if constexpr (sizeof(T) == 4) {
    return detail::polynomial(y, 0.33333333437307106, 0.19999959336215822, 0.14288286042811427, 0.11050830395222047, 0.09751940865754222,
                              0.040916230717821564, 0.1562916538190834);
  } else {
    return detail::polynomial(y, 0x1.5555555555555p-2, 0x1.9999999999982p-3, 0x1.249249249409cp-3, 0x1.c71c71c58156bp-4,
                              0x1.745d17a833b94p-4, 0x1.3b13a3184d909p-4, 0x1.1112632e765fap-4, 0x1.e1b6c1f3ca892p-5, 0x1.b116e91f2e433p-5,
                              0x1.76524ce0b37c4p-5, 0x1.bff5d5843a48dp-5, -0x1.7b097a15e06ebp-8, 0x1.4f3162759d460p-3,
                              -0x1.79de6d69c3b25p-3, 0x1.cff32677b9476p-3);
  }
}

/// Stirling's remainder s(z) = log Gamma(z) - (z - 1/2) log z + z - log(2 pi)/2 and its derivatives, for z >= 1, and by how much they fall
/// from z to z + t, t >= 0, with an error that vanishes with t: at most 4 ULP for the value; for slope and bend as many of
/// t / ((1 + z)(1 + z + t)) times 1/12 and 1/60.
template <class T>
class StirlingFall {
  using V = Pack<T>;
  V t, near, far, x, y, step;

 public:
  struct Fall {
    V at, by;
  };

  PYLOSS_INLINE StirlingFall(V z, V to)
      : t(to), near(1.0 / z), far(1.0 / (z + t)), x(1.0 / (1.0 + z)), y(1.0 / (1.0 + (z + t))), step(t * x * y) {}

  /// By how much s falls.
  PYLOSS_INLINE V value() const {
    const auto [at, slope] = value_by_near();
    return far * fma(t * near, at, step * slope);
  }
  /// z² s'(z), near -1/12.
  PYLOSS_INLINE Fall slope() const { return fall(slope_polynomial()); }
  /// Its derivative by 1/z, times z: near 1/60.
  PYLOSS_INLINE Fall bend() const { return fall(bend_polynomial()); }

 private:
  using Divided = detail::Divided<V>;

  PYLOSS_INLINE Fall fall(Divided of) const { return {of.at, step * of.slope}; }
  /// Polynomials of 1/(1 + z) - 1/4, interpolated at Chebyshev's points: relative errors below 2^-29 and 2^-61.
  template <class... Coefficients>
  PYLOSS_INLINE Divided of(Coefficients... c) const {
    return detail::divided(x - 0.25, y - 0.25, c...);
  }
  PYLOSS_INLINE Divided value_by_near() const {
    if constexpr (sizeof(T) == 4) {
      return of(0.0830337769491874, -0.0031050397403560035, -0.01152086780160787, -0.02100817568099851, -0.027717689362086365,
                -0.029924915345858158, -0.030126997967309128, -0.032861563125444984, -0.04555300336210803, -0.050146706257769465);
    } else {
      return of(0x1.541b39cea2086p-4, -0x1.96fbd7377b2f8p-9, -0x1.7984c0b0ad0c1p-7, -0x1.5833168c45cb3p-6, -0x1.c5f370b9d99dbp-6,
                -0x1.ea15d125fa998p-6, -0x1.f552340ec4a97p-6, -0x1.11b259b1645c3p-5, -0x1.318ee21fc2a8bp-5, -0x1.4c19ecf1f1887p-5,
                -0x1.784fa3cdf37b1p-5, -0x1.b564d34b65458p-5, -0x1.ea54671c25359p-5, -0x1.2177b123f4bdep-4, -0x1.5934c84d8dd67p-4,
                -0x1.84a2a2f597048p-4, -0x1.f492e7a4d72d2p-4, -0x1.26be1fc6308cap-3, -0x1.fba0e7cb13ca5p-4, -0x1.8d3ede1e25b33p-3,
                -0x1.c0fe5c704bcbap-2, -0x1.d4871fcc7d20fp-2);
    }
  }
  PYLOSS_INLINE Divided slope_polynomial() const {
    if constexpr (sizeof(T) == 4) {
      return of(-0.08245158208581134, 0.008977916591940777, 0.031753986417417876, 0.050258964854456516, 0.04814316052823707,
                0.02829378352057444, 0.016495368364598882, 0.022478740562196432, 0.02440328564934936, 0.014702886685611887);
    } else {
      return of(-0x1.51b8c00bcecfap-4, 0x1.263038f70f176p-7, 0x1.0421013c52760p-5, 0x1.9bb8c61cb106dp-5, 0x1.8a5ac14e245d0p-5,
                0x1.cf7b13b1ef83ap-6, 0x1.114fe600cb3e4p-6, 0x1.740492ba7f628p-6, 0x1.58ab61efead0bp-6, 0x1.5eb53ffb52f93p-7,
                0x1.562ce3d84373ep-6, 0x1.6e2da86fd2106p-6, 0x1.fb53d06ee8966p-9, 0x1.11f8b032bcfb2p-5, 0x1.8b4f76d5ba9d9p-6,
                -0x1.0ec55c7ddd0b6p-6, 0x1.8e740ce1b2eedp-4, -0x1.22eb56dde2370p-5, -0x1.5d43457c391fcp-7, 0x1.8d54e7b602bc1p-2,
                -0x1.9f1682e62e0dap-1, 0x1.c58c3e5e39ca7p-2, 0x1.268fb05463defp+1, -0x1.8c6e03abd726ep+1);
    }
  }
  PYLOSS_INLINE Divided bend_polynomial() const {
    if constexpr (sizeof(T) == 4) {
      return of(0.015150234168123677, -0.014032058552059468, -0.037313566324537216, -0.007891866933008983, 0.07346232276885108,
                0.05021709269137828, -0.10555982015147969, -0.03233819934704483, 0.1877869076204821, -0.14530409090826402,
                -0.23867638292161547, 0.4661507009111735);
    } else {
      return of(0x1.f0716020e9778p-7, -0x1.cbcd7058f2832p-7, -0x1.31ac3538448f6p-5, -0x1.02998336ee21cp-7, 0x1.2ce59b19eeeacp-4,
                0x1.9b549cde01a3bp-5, -0x1.b0021e16df382p-4, -0x1.05b7c6e348065p-5, 0x1.79cd4fbfdd001p-3, -0x1.4110634576cf0p-3,
                -0x1.646b75eb5f534p-3, 0x1.3800f6116b550p-1, -0x1.47bdebb5a5920p-1, -0x1.7b24fa8ead8dfp-2, 0x1.4141880013919p+1,
                -0x1.1a8e080b9b710p+2, 0x1.421338bbc0304p+1, 0x1.0753d70b0c2c0p+3, -0x1.d278306b832b5p+4, 0x1.5c8dc1455af78p+5,
                -0x1.5d9e21c1203e1p+4, -0x1.b1104514e21efp+2, 0x1.f8767b04d7c9fp+7, -0x1.e1c3224bfae5bp+10, 0x1.6a2182222eca5p+11,
                0x1.13d026d343ce9p+13, -0x1.63fb9082a296ap+14, -0x1.80ec830cbcc6ap+13, 0x1.763e9d0666862p+15);
    }
  }
};

}  // namespace pyloss::simd
