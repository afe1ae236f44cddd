// Generative adversarial networks: losses of the discriminator's scores (logits, where it gives probabilities), and of its gradients.
#pragma once

#include "multiclass.hpp"
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

/// Square of what a row's length differs from `length` by. Squares are of elements scaled by a power of two, so that none is lost where the
/// length itself is not; the largest element counts apart, since what the others leave to it may be little.
struct GradientPenalty : OfElements {
  static constexpr auto name = "gradient_penalty";
  static constexpr std::size_t leads = 1, sums = 2, factors = 6;
  static constexpr Targets targets = Targets::none;
  double length;

  template <class V>
  std::array<V, 1> lead(const Element<V>& e) const {
    return {abs(e.x)};
  }
  template <class V>
  std::array<V, 2> add(const Element<V>& e, const RowFacts<V, 1>& row) const {
    const V x = e.x * scale_of(row.lead[0]);
    const auto largest = abs(e.x) == row.lead[0];
    return {select(largest, 0.0, x * x), select(largest, 1.0, 0.0)};
  }
  template <class V>
  RowSum<V, 6> finish(const std::array<V, 2>& sum, const RowFacts<V, 1>& row) const {
    const V scale = scale_of(row.lead[0]), largest = row.lead[0] * scale, square = largest * largest;
    const V total = fma(sum[1], square, sum[0]), root = sqrt(total), norm = root / scale, excess = norm - length;
    const auto none = total == 0.0, infinite = norm == simd::infinity<double>;
    const V share = select(total == simd::infinity<double>, 0.0, fma(sum[1] - 1.0, square, sum[0]) / total);
    // Up to `length`, the slope is by the row's direction, whose elements are finite; beyond, by the row.
    const auto beyond = norm >= length;
    const V slope = select(beyond, 2.0 * select(infinite, 1.0, excess / norm), 2.0 * excess / root);
    return {excess * excess,
            {select(beyond | none, 1.0, scale), select(none, 0.0, slope), 1.0 / root, share,
             length == 0.0 ? V(0.0) : select(none, 0.0, -2.0 * length / norm), length == 0.0 ? V(2.0) : select(none, 0.0, 2.0)}};
  }
  template <class V>
  ScoreTerms<V> derive(const Element<V>& e, const RowFacts<V, 1>& row, const std::array<V, 6>& factor) const {
    const V along = e.x * scale_of(row.lead[0]) * factor[2];
    const V across = select(abs(e.x) == row.lead[0], factor[3], 1.0 - along * along);
    return {e.x * factor[0] * factor[1], factor[5] + select(factor[4] == 0.0, 0.0, times_or_zero(across, factor[4]))};
  }

 private:
  /// float32 needs three scales; float64, in which the sums of its rows are finished, has the same ones for what float32 can hold.
  template <class V>
  static V scale_of(V largest) {
    const V scale = select(largest < 0x1p-40, 0x1p100, select(largest > 0x1p60, 0x1p-70, 1.0));
    if constexpr (sizeof(typename V::Scalar) == 4) {
      return scale;
    } else {
      return select(largest < 0x1p-149, 0x1p600, select(largest >= 0x1p128, 0x1p-600, scale));
    }
  }
};

}  // namespace pyloss
