// Penalties of a weight: of its size, or of its distance from where it was.
#pragma once

#include "terms.hpp"

namespace pyloss {

/// `w` moved towards 0 by `step`, and to 0 from within it.
template <class V>
V shrink(V w, double step) {
  return copysign(max(abs(w) - step, 0.0), w);
}

/// prox() is the argument that minimises penalty(u) + (u - w)² / (2 step).
struct L1 {
  static constexpr auto name = "l1";
  double l1;

  template <class V>
  Terms<V> operator()(V w) const {
    return {.value = l1 * abs(w), .grad = l1 * sign(w), .hess = 0.0};
  }
  template <class V>
  V prox(double step, V w) const {
    return shrink(w, step * l1);
  }
};

struct L2 {
  static constexpr auto name = "l2";
  double l2;

  template <class V>
  Terms<V> operator()(V w) const {
    return {.value = l2 * w * w, .grad = 2.0 * l2 * w, .hess = 2.0 * l2};
  }
  template <class V>
  V prox(double step, V w) const {
    return w / (1.0 + 2.0 * step * l2);
  }
};

struct ElasticNet {
  static constexpr auto name = "elastic_net";
  double alpha, l1_ratio;

  template <class V>
  Terms<V> operator()(V w) const {
    const auto [absolute, square] = parts();
    const Terms<V> a = absolute(w), b = square(w);
    return {.value = a.value + b.value, .grad = a.grad + b.grad, .hess = b.hess};
  }
  template <class V>
  V prox(double step, V w) const {
    const auto [absolute, square] = parts();
    return square.prox(step, absolute.prox(step, w));
  }

 private:
  struct Parts {
    L1 absolute;
    L2 square;
  };
  Parts parts() const { return {{alpha * l1_ratio}, {alpha * (1.0 - l1_ratio)}}; }
};

struct EWC {
  static constexpr auto name = "ewc";
  double strength;

  template <class V>
  Terms<V> operator()(V w, V fisher, V anchor) const {
    const V r = w - anchor, stiffness = strength * fisher;
    return {.value = 0.5 * stiffness * r * r, .grad = stiffness * r, .hess = stiffness};
  }
  template <class V>
  V prox(double step, V w, V fisher, V anchor) const {
    return anchor + (w - anchor) / (1.0 + step * strength * fisher);
  }
};

}  // namespace pyloss
