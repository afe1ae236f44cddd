// float16 and bfloat16 as bits: widened exactly, narrowed by rounding to the nearest even.
#pragma once

#include "pack.hpp"

namespace pyloss::simd {

namespace half {

PYLOSS_INLINE float from_bits(std::uint32_t bits) { return std::bit_cast<float>(bits); }
PYLOSS_INLINE std::uint32_t to_bits(float a) { return std::bit_cast<std::uint32_t>(a); }

}  // namespace half

PYLOSS_INLINE float widen_bfloat16(std::uint16_t a) { return half::from_bits(std::uint32_t{a} << 16); }

PYLOSS_INLINE std::uint16_t narrow_bfloat16(float a) {
  const std::uint32_t bits = half::to_bits(a);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  // Rounding could carry a NaN's payload into infinity; keep its top bits and make it quiet instead.
  const std::uint32_t nan = (bits >> 16) | 0x40u;
  return static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

/// The exponent is moved by a multiplication, which also normalises subnormals exactly.
PYLOSS_INLINE float widen_float16(std::uint16_t a) {
  const std::uint32_t sign = std::uint32_t{a & 0x8000u} << 16, magnitude = std::uint32_t{a & 0x7fffu} << 13;
  const float scaled = half::from_bits(magnitude) * 0x1p112f;
  const std::uint32_t special = magnitude | 0x7f800000u;
  return half::from_bits(sign | (magnitude >= 0x0f800000u ? special : half::to_bits(scaled)));
}

/// Adding and taking away a power of two that leaves just the wanted bits rounds once, subnormals too.
PYLOSS_INLINE std::uint16_t narrow_float16(float a) {
  const std::uint32_t bits = half::to_bits(a), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  const std::uint32_t subnormal = half::to_bits(half::from_bits(magnitude) + 0.5f) - 0x3f000000u;
  const std::uint32_t normal = (magnitude + 0xc8000fffu + ((magnitude >> 13) & 1u)) >> 13;
  const std::uint32_t large = magnitude > 0x7f800000u ? 0x7e00u | ((magnitude >> 13) & 0x3ffu) : 0x7c00u;
  const std::uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  return static_cast<std::uint16_t>(sign | (magnitude >= 0x477ff000u ? large : finite));
}

}  // namespace pyloss::simd
