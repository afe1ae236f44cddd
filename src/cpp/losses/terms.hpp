// What an elementwise loss returns.
#pragma once

#include "../simd/math.hpp"

namespace pyloss {

/// The loss of one element, its derivative and its second derivative by the prediction. What the caller did not ask for is never
/// stored, so the compiler deletes its computation.
template <class V>
struct Terms {
  V value, grad, hess;
};

}  // namespace pyloss
