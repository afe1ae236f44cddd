// What an elementwise loss returns.
#pragma once

#include <array>

#include "../simd/math.hpp"

namespace pyloss {

/// The loss of one element, its derivative and its second derivative by the prediction. What the caller did not ask for is never
/// stored, so the compiler deletes its computation.
template <class V>
struct Terms {
  V value, grad, hess;
};

/// The same of a loss with several inputs that have derivatives: those by each, in the order in which Python names them.
template <class V, std::size_t N>
struct JointTerms {
  V value;
  std::array<V, N> grad, hess;
};

/// `a`, but NaN where `x` is.
template <class V>
PYLOSS_INLINE V unless_nan(V x, V a) {
  return select(x == x, a, x);
}

/// x / c, at most 1 ULP off where multiplying is faster.
template <class V>
PYLOSS_INLINE V over(V x, double c) {
  return c > 1e-30 && c < 1e30 ? x * (1.0 / c) : x / c;  // elsewhere 1 / c may have left the range of float32
}

}  // namespace pyloss
