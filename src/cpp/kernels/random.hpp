// Random numbers that are a function of (seed, stream, index) alone: Philox4x32-10 (Salmon et al. 2011), and normals by Box and Muller.
#pragma once

#include <cstdint>

#include "../simd/math.hpp"
#include "blocks.hpp"

namespace pyloss::random {

/// Uses of one seed that must not share numbers.
enum class Stream : std::uint32_t { uniform, normal };

/// Counters that are worked on side by side: a fixed number, because the order of the words depends on it.
inline constexpr std::size_t side_by_side = 16;
/// Words that come of them.
inline constexpr std::size_t batch = 4 * side_by_side;
static_assert(block_elements % batch == 0);

/// The words [first, first + count) of 32 bits; `first` and `count` are multiples of `batch`. Word w is number w / 16 % 4 of what
/// Philox makes of the counter w / 64 * 16 + w % 16.
inline void words(std::uint64_t seed, Stream stream, std::uint64_t first, std::size_t count, std::uint32_t* to) {
  using Words = simd::NativeWords;  // of which the lower halves count
  constexpr std::size_t lanes = sizeof(Words) / sizeof(std::uint64_t);
  using Halves [[gnu::vector_size(sizeof(Words) / 2)]] = std::uint32_t;
  const auto all = [](std::uint64_t a) PYLOSS_INLINE_LAMBDA { return a - Words{}; };
  const Words multiplier_0 = all(0xD2511F53), multiplier_1 = all(0xCD9E8D57);
  Words numbers;
  for (std::size_t i = 0; i < lanes; ++i) numbers[i] = i;
  for (std::size_t done = 0; done < count; done += batch) {
    const std::uint64_t counter = (first + done) / 4;
    for (std::size_t i = 0; i < side_by_side; i += lanes) {
      // The counters of a batch have one upper half: the first of them is a multiple of their number.
      Words c0 = all(counter + i) + numbers, c1 = all(counter >> 32), c2 = all(static_cast<std::uint64_t>(stream)), c3 = all(0);
      std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
      for (int round = 0; round < 10; ++round) {
        const Words p0 = simd::product_of_low_halves(multiplier_0, c0), p1 = simd::product_of_low_halves(multiplier_1, c2);
        c0 = (p1 >> 32) ^ c1 ^ all(k0);
        c1 = p1;
        c2 = (p0 >> 32) ^ c3 ^ all(k1);
        c3 = p0;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
      }
      std::uint32_t* at = to + done + i;
      for (const Words& word : {c0, c1, c2, c3}) {
        const Halves low = __builtin_convertvector(word, Halves);
        std::memcpy(at, &low, sizeof low);
        at += side_by_side;
      }
    }
  }
}

/// cos and sin of 2 pi u for u in [0, 1), by their series around the nearest quarter. At most 2^-52 of absolute error.
struct CosSin {
  simd::Pack<double> cos, sin;
};
PYLOSS_INLINE CosSin turn(simd::Pack<double> u) {
  using V = simd::Pack<double>;
  const V quarter = round(4.0 * u), x = (u - 0.25 * quarter) * 0x1.921fb54442d18p+2, z = x * x;
  const V s = fma(
      x * z,
      simd::detail::polynomial(z, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000),
      x);
  const V c = simd::detail::polynomial(z, 1.0, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600,
                                       -1.0 / 87178291200, 1.0 / 20922789888000);
  const auto odd = (quarter == 1.0) | (quarter == 3.0), cos_negative = (quarter == 1.0) | (quarter == 2.0),
             sin_negative = (quarter == 2.0) | (quarter == 3.0);
  const V cos = select(odd, s, c), sin = select(odd, c, s);
  return {select(cos_negative, -cos, cos), select(sin_negative, -sin, sin)};
}

/// Standard normals [first, first + block_elements), `first` a multiple of block_elements. Of each batch of 32, number i and i + 16 are
/// made of the uniforms i and i + 16; uniform i is made of the words i and i + 32.
inline void normals(std::uint64_t seed, std::uint64_t first, double* to) {
  using V = simd::Pack<double>;
  constexpr std::size_t half = batch / 2, quarter = batch / 4;
  alignas(simd::group_bytes) std::uint32_t word[2 * block_elements];
  words(seed, Stream::normal, 2 * first, 2 * block_elements, word);
  for (std::size_t begin = 0; begin < block_elements; begin += half) {
    const std::uint32_t* const from = word + 2 * begin;
    alignas(simd::group_bytes) double uniform[half];
    // 53 bits, 27 and 26 of them by way of int32, which every level converts in lanes.
    for (std::size_t i = 0; i < half; ++i) {
      const auto high = static_cast<std::int32_t>(from[i] >> 5), low = static_cast<std::int32_t>(from[half + i] >> 6);
      uniform[i] = (static_cast<double>(high) * 0x1p26 + static_cast<double>(low)) * 0x1p-53;
    }
    for (std::size_t i = 0; i < quarter; i += V::lanes) {
      // From (0, 1], so that the logarithm is finite.
      const V radius = sqrt(-2.0 * log(V::load(uniform + i) + 0x1p-53));
      const CosSin at = turn(V::load(uniform + quarter + i));
      (radius * at.cos).store(to + begin + i);
      (radius * at.sin).store(to + begin + quarter + i);
    }
  }
}

}  // namespace pyloss::random
