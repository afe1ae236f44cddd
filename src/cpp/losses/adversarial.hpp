// Generative adversarial networks: losses of the discriminator's scores (logits, where it gives probabilities).
#pragma once

#include "terms.hpp"

namespace pyloss {

/// In the order of Python's words.
enum class Game : int { minimax, non_saturating, least_squares, hinge, wasserstein };

/// softplus(x) = -log(1 - sigmoid(x)).
template <class V>
PYLOSS_INLINE Terms<V> softplus_terms(V x) {
  const V e = exp_nonpositive(-abs(x)), s = 1.0 / (1.0 + e);
  return {.value = max(x, 0.0) + log1p_unit(e), .grad = select(signbit(x), e * s, s), .hess = e * s * s};
}

/// The sum of what a real and a fake sample cost.
struct GANDiscriminator {
  static constexpr auto name = "gan_discriminator";
  double kind;

  template <class V>
  JointTerms<V, 2> operator()(V real, V fake) const {
    switch (static_cast<Game>(static_cast<int>(kind))) {
      case Game::least_squares: {
        const V r = real - 1.0;
        return {.value = 0.5 * fma(r, r, fake * fake), .grad = {r, fake}, .hess = {1.0, 1.0}};
      }
      case Game::hinge: {
        const V on = max(1.0 - real, 0.0), off = max(1.0 + fake, 0.0);
        return {.value = on + off,
                .grad = {select(on > 0.0, -1.0, on), select(off > 0.0, 1.0, off)},  // NaN stays
                .hess = {0.0, 0.0}};
      }
      case Game::wasserstein:
        return {.value = fake - real, .grad = {unless_nan(real, V(-1.0)), unless_nan(fake, V(1.0))}, .hess = {0.0, 0.0}};
      default: {
        const Terms<V> on = softplus_terms(-real), off = softplus_terms(fake);
        return {.value = on.value + off.value, .grad = {-on.grad, off.grad}, .hess = {on.hess, off.hess}};
      }
    }
  }
};

struct GANGenerator {
  static constexpr auto name = "gan_generator";
  double kind;

  template <class V>
  Terms<V> operator()(V fake) const {
    switch (static_cast<Game>(static_cast<int>(kind))) {
      case Game::minimax: {
        const Terms<V> off = softplus_terms(fake);
        return {.value = -off.value, .grad = -off.grad, .hess = -off.hess};
      }
      case Game::non_saturating: {
        const Terms<V> on = softplus_terms(-fake);
        return {.value = on.value, .grad = -on.grad, .hess = on.hess};
      }
      case Game::least_squares: {
        const V r = fake - 1.0;
        return {.value = 0.5 * (r * r), .grad = r, .hess = 1.0};
      }
      default: return {.value = -fake, .grad = unless_nan(fake, V(-1.0)), .hess = 0.0};
    }
  }
};

}  // namespace pyloss
