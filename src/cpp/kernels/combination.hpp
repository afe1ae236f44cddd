// Gradients of several tasks or samples: their inner products, and one made of all of them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "../parallel.hpp"
#include "views.hpp"

namespace pyloss {

/// Normals that are added to every element before the result is scaled.
struct Noise {
  std::uint64_t seed;
  double deviation;
};

/// scale (coefficients . rows + noise).
struct Combination {
  std::vector<double> coefficients;
  double scale = 1.0;
  std::optional<Noise> noise;
};

/// `to[i * rows.size() + j]` is the inner product of rows i and j, each times `scale`. False if interrupted.
bool inner_products(const std::vector<View>& rows, double scale, int threads, Interrupt& interrupt, double* to);

/// Rows of coefficient 0 are not read. False if interrupted.
bool combine(const std::vector<View>& rows, const Combination& combination, int threads, Interrupt& interrupt, const View& to);

/// Rows up to this length stay in the cache between the two times they are needed.
inline constexpr std::size_t short_row = 32768;

/// Rows of `depth` elements, one after the other; if they are not short, also each for itself.
struct Samples {
  View all;
  std::size_t count, depth;
  std::vector<View> rows;
};

/// The rows scaled down to the length `longest` where they are longer, combined with coefficients 1. False if interrupted.
bool clip_rows(const Samples& samples, double longest, Combination combination, int threads, Interrupt& interrupt, const View& to);

/// x / (1 - p), or 0 where the random word of (seed, index) says so. False if interrupted.
bool dropout(const View& x, double p, std::uint64_t seed, bool float64, int threads, Interrupt& interrupt, const View& to);

}  // namespace pyloss
