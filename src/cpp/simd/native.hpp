// With bfloat16.hpp the only file with instruction-set intrinsics: what the compiler's vector extensions cannot say by themselves.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define PYLOSS_INLINE inline __attribute__((always_inline))
#define PYLOSS_INLINE_LAMBDA __attribute__((always_inline))
/// Before a loop none of whose turns reads what another writes.
#if defined(__clang__)
#define PYLOSS_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define PYLOSS_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace pyloss::simd {

#if defined(__AVX512F__) && defined(__AVX512VL__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
#define PYLOSS_AVX512 1
inline constexpr std::size_t native_bytes = 64;
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define PYLOSS_AVX2 1
inline constexpr std::size_t native_bytes = 32;
#else
inline constexpr std::size_t native_bytes = 16;
#endif

/// Whether fma() rounds once.
#if defined(__FMA__) || defined(__aarch64__)
inline constexpr bool has_fma = true;
#else
inline constexpr bool has_fma = false;
#endif

/// Vector registers: what a tile of sums may occupy.
#if defined(PYLOSS_AVX512) || defined(__aarch64__)
inline constexpr std::size_t native_registers = 32;
#else
inline constexpr std::size_t native_registers = 16;
#endif

/// Every loop works on groups of this many bytes whatever the machine's width, so that all levels add in the same order.
inline constexpr std::size_t group_bytes = 64;

/// A vector of the machine's own width; wider ones are torn apart by GCC (3 to 6 times slower on AVX2).
template <class T>
using Native [[gnu::vector_size(native_bytes)]] = T;

using NativeFloat = Native<float>;
using NativeDouble = Native<double>;
using NativeWords = Native<std::uint64_t>;
/// At most four, for what has few lanes.
using FewDoubles[[gnu::vector_size(native_bytes < 32 ? native_bytes : 32)]] = double;

// On every level: fma(a, b, c) = a * b + c; round() to the nearest even integer; max(a, b) and min(a, b) keep a if it is NaN, and of
// zeros too. The machine's instruction keeps its second operand, hence the exchange. sign_bits() has bit i set where lane i is negative.
// product_of_low_halves() multiplies the lower 32 bits of each lane of 64.
#if defined(PYLOSS_AVX512)

// Full masks where GCC 12 would warn of the undefined operand inside its own unmasked intrinsics; the code is the same.
PYLOSS_INLINE NativeFloat fma(NativeFloat a, NativeFloat b, NativeFloat c) { return _mm512_fmadd_ps(a, b, c); }
PYLOSS_INLINE NativeDouble fma(NativeDouble a, NativeDouble b, NativeDouble c) { return _mm512_fmadd_pd(a, b, c); }
PYLOSS_INLINE NativeFloat sqrt(NativeFloat a) { return _mm512_maskz_sqrt_ps(0xffff, a); }
PYLOSS_INLINE NativeDouble sqrt(NativeDouble a) { return _mm512_maskz_sqrt_pd(0xff, a); }
PYLOSS_INLINE NativeFloat round(NativeFloat a) {
  return _mm512_maskz_roundscale_ps(0xffff, a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
PYLOSS_INLINE NativeDouble round(NativeDouble a) {
  return _mm512_maskz_roundscale_pd(0xff, a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
PYLOSS_INLINE NativeFloat max(NativeFloat a, NativeFloat b) { return _mm512_maskz_max_ps(0xffff, b, a); }
PYLOSS_INLINE NativeDouble max(NativeDouble a, NativeDouble b) { return _mm512_maskz_max_pd(0xff, b, a); }
PYLOSS_INLINE NativeFloat min(NativeFloat a, NativeFloat b) { return _mm512_maskz_min_ps(0xffff, b, a); }
PYLOSS_INLINE NativeDouble min(NativeDouble a, NativeDouble b) { return _mm512_maskz_min_pd(0xff, b, a); }
PYLOSS_INLINE void stream(float* to, NativeFloat a) { _mm512_stream_ps(to, a); }
PYLOSS_INLINE void stream(double* to, NativeDouble a) { _mm512_stream_pd(to, a); }
PYLOSS_INLINE NativeDouble widen_low(NativeFloat a) { return _mm512_maskz_cvtps_pd(0xff, _mm512_maskz_extractf32x8_ps(0xff, a, 0)); }
PYLOSS_INLINE NativeDouble widen_high(NativeFloat a) { return _mm512_maskz_cvtps_pd(0xff, _mm512_maskz_extractf32x8_ps(0xff, a, 1)); }
PYLOSS_INLINE NativeDouble load_widened(const float* from) { return _mm512_maskz_cvtps_pd(0xff, _mm256_loadu_ps(from)); }
PYLOSS_INLINE unsigned sign_bits(NativeFloat a) { return _mm512_movepi32_mask(_mm512_castps_si512(a)); }
PYLOSS_INLINE unsigned sign_bits(NativeDouble a) { return _mm512_movepi64_mask(_mm512_castpd_si512(a)); }
PYLOSS_INLINE NativeWords product_of_low_halves(NativeWords a, NativeWords b) {
  return std::bit_cast<NativeWords>(_mm512_maskz_mul_epu32(0xff, std::bit_cast<__m512i>(a), std::bit_cast<__m512i>(b)));
}

#elif defined(PYLOSS_AVX2)

PYLOSS_INLINE NativeFloat fma(NativeFloat a, NativeFloat b, NativeFloat c) { return _mm256_fmadd_ps(a, b, c); }
PYLOSS_INLINE NativeDouble fma(NativeDouble a, NativeDouble b, NativeDouble c) { return _mm256_fmadd_pd(a, b, c); }
PYLOSS_INLINE NativeFloat sqrt(NativeFloat a) { return _mm256_sqrt_ps(a); }
PYLOSS_INLINE NativeDouble sqrt(NativeDouble a) { return _mm256_sqrt_pd(a); }
PYLOSS_INLINE NativeFloat round(NativeFloat a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
PYLOSS_INLINE NativeDouble round(NativeDouble a) { return _mm256_round_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
PYLOSS_INLINE NativeFloat max(NativeFloat a, NativeFloat b) { return _mm256_max_ps(b, a); }
PYLOSS_INLINE NativeDouble max(NativeDouble a, NativeDouble b) { return _mm256_max_pd(b, a); }
PYLOSS_INLINE NativeFloat min(NativeFloat a, NativeFloat b) { return _mm256_min_ps(b, a); }
PYLOSS_INLINE NativeDouble min(NativeDouble a, NativeDouble b) { return _mm256_min_pd(b, a); }
PYLOSS_INLINE void stream(float* to, NativeFloat a) { _mm256_stream_ps(to, a); }
PYLOSS_INLINE void stream(double* to, NativeDouble a) { _mm256_stream_pd(to, a); }
PYLOSS_INLINE NativeDouble widen_low(NativeFloat a) { return _mm256_cvtps_pd(_mm256_castps256_ps128(a)); }
PYLOSS_INLINE NativeDouble widen_high(NativeFloat a) { return _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)); }
PYLOSS_INLINE NativeDouble load_widened(const float* from) { return _mm256_cvtps_pd(_mm_loadu_ps(from)); }
PYLOSS_INLINE unsigned sign_bits(NativeFloat a) { return static_cast<unsigned>(_mm256_movemask_ps(a)); }
PYLOSS_INLINE unsigned sign_bits(NativeDouble a) { return static_cast<unsigned>(_mm256_movemask_pd(a)); }
PYLOSS_INLINE NativeWords product_of_low_halves(NativeWords a, NativeWords b) {
  return std::bit_cast<NativeWords>(_mm256_mul_epu32(std::bit_cast<__m256i>(a), std::bit_cast<__m256i>(b)));
}

#elif defined(__x86_64__)

PYLOSS_INLINE NativeFloat fma(NativeFloat a, NativeFloat b, NativeFloat c) { return a * b + c; }
PYLOSS_INLINE NativeDouble fma(NativeDouble a, NativeDouble b, NativeDouble c) { return a * b + c; }
PYLOSS_INLINE NativeFloat sqrt(NativeFloat a) { return _mm_sqrt_ps(a); }
PYLOSS_INLINE NativeDouble sqrt(NativeDouble a) { return _mm_sqrt_pd(a); }
PYLOSS_INLINE NativeFloat round(NativeFloat a) { return _mm_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
PYLOSS_INLINE NativeDouble round(NativeDouble a) { return _mm_round_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
PYLOSS_INLINE NativeFloat max(NativeFloat a, NativeFloat b) { return _mm_max_ps(b, a); }
PYLOSS_INLINE NativeDouble max(NativeDouble a, NativeDouble b) { return _mm_max_pd(b, a); }
PYLOSS_INLINE NativeFloat min(NativeFloat a, NativeFloat b) { return _mm_min_ps(b, a); }
PYLOSS_INLINE NativeDouble min(NativeDouble a, NativeDouble b) { return _mm_min_pd(b, a); }
PYLOSS_INLINE void stream(float* to, NativeFloat a) { _mm_stream_ps(to, a); }
PYLOSS_INLINE void stream(double* to, NativeDouble a) { _mm_stream_pd(to, a); }
PYLOSS_INLINE NativeDouble widen_low(NativeFloat a) { return _mm_cvtps_pd(a); }
PYLOSS_INLINE NativeDouble widen_high(NativeFloat a) { return _mm_cvtps_pd(_mm_movehl_ps(a, a)); }
PYLOSS_INLINE NativeDouble load_widened(const float* from) {
  return _mm_cvtps_pd(_mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}
PYLOSS_INLINE unsigned sign_bits(NativeFloat a) { return static_cast<unsigned>(_mm_movemask_ps(a)); }
PYLOSS_INLINE unsigned sign_bits(NativeDouble a) { return static_cast<unsigned>(_mm_movemask_pd(a)); }
PYLOSS_INLINE NativeWords product_of_low_halves(NativeWords a, NativeWords b) {
  return std::bit_cast<NativeWords>(_mm_mul_epu32(std::bit_cast<__m128i>(a), std::bit_cast<__m128i>(b)));
}

#elif defined(__ARM_NEON) && defined(__aarch64__)

PYLOSS_INLINE NativeFloat fma(NativeFloat a, NativeFloat b, NativeFloat c) { return vfmaq_f32(c, a, b); }
PYLOSS_INLINE NativeDouble fma(NativeDouble a, NativeDouble b, NativeDouble c) { return vfmaq_f64(c, a, b); }
PYLOSS_INLINE NativeFloat sqrt(NativeFloat a) { return vsqrtq_f32(a); }
PYLOSS_INLINE NativeDouble sqrt(NativeDouble a) { return vsqrtq_f64(a); }
PYLOSS_INLINE NativeFloat round(NativeFloat a) { return vrndnq_f32(a); }
PYLOSS_INLINE NativeDouble round(NativeDouble a) { return vrndnq_f64(a); }
PYLOSS_INLINE NativeFloat max(NativeFloat a, NativeFloat b) { return a < b ? b : a; }
PYLOSS_INLINE NativeDouble max(NativeDouble a, NativeDouble b) { return a < b ? b : a; }
PYLOSS_INLINE NativeFloat min(NativeFloat a, NativeFloat b) { return a > b ? b : a; }
PYLOSS_INLINE NativeDouble min(NativeDouble a, NativeDouble b) { return a > b ? b : a; }
PYLOSS_INLINE void stream(float* to, NativeFloat a) { std::memcpy(to, &a, sizeof a); }
PYLOSS_INLINE void stream(double* to, NativeDouble a) { std::memcpy(to, &a, sizeof a); }
PYLOSS_INLINE NativeDouble widen_low(NativeFloat a) { return vcvt_f64_f32(vget_low_f32(a)); }
PYLOSS_INLINE NativeDouble widen_high(NativeFloat a) { return vcvt_high_f64_f32(a); }
PYLOSS_INLINE NativeDouble load_widened(const float* from) { return vcvt_f64_f32(vld1_f32(from)); }
PYLOSS_INLINE unsigned sign_bits(NativeFloat a) {
  const uint32x4_t signs = vshrq_n_u32(vreinterpretq_u32_f32(a), 31);
  return vgetq_lane_u32(signs, 0) | vgetq_lane_u32(signs, 1) << 1 | vgetq_lane_u32(signs, 2) << 2 | vgetq_lane_u32(signs, 3) << 3;
}
PYLOSS_INLINE unsigned sign_bits(NativeDouble a) {
  const uint64x2_t signs = vshrq_n_u64(vreinterpretq_u64_f64(a), 63);
  return static_cast<unsigned>(vgetq_lane_u64(signs, 0) | vgetq_lane_u64(signs, 1) << 1);
}
PYLOSS_INLINE NativeWords product_of_low_halves(NativeWords a, NativeWords b) {
  return std::bit_cast<NativeWords>(vmull_u32(vmovn_u64(std::bit_cast<uint64x2_t>(a)), vmovn_u64(std::bit_cast<uint64x2_t>(b))));
}

#else
#error "pyloss needs x86-64 (v2 or later) or AArch64"
#endif

/// x * 2^n for an integer n, |n| at most 252 (float64: 2044). Rounded once, but for subnormal results of an x that is far from 1.
#if defined(PYLOSS_AVX512)
PYLOSS_INLINE NativeFloat scale_by_power_of_two(NativeFloat x, NativeFloat n) { return _mm512_maskz_scalef_ps(0xffff, x, n); }
PYLOSS_INLINE NativeDouble scale_by_power_of_two(NativeDouble x, NativeDouble n) { return _mm512_maskz_scalef_pd(0xff, x, n); }
#else
template <class Vector>
PYLOSS_INLINE Vector scale_by_power_of_two(Vector x, Vector n) {
  using Scalar = std::remove_cvref_t<decltype(x[0])>;
  using Integer = std::conditional_t<sizeof(Scalar) == 4, std::uint32_t, std::uint64_t>;
  constexpr int mantissa = sizeof(Scalar) == 4 ? 23 : 52;
  constexpr Integer bias = sizeof(Scalar) == 4 ? 127 : 1023;
  // 1.5 * 2^mantissa: adding it leaves the integer in the low bits.
  constexpr Scalar magic = static_cast<Scalar>(Integer{3} << (mantissa - 1));
  const auto power = [&](Vector half) { return std::bit_cast<Vector>((std::bit_cast<Native<Integer>>(half + magic) + bias) << mantissa); };
  // In two steps, because 2^n itself may be out of range; the first one is exact.
  const Vector half = round(n * Scalar{0.5});
  return (x * power(half)) * power(n - half);
}
#endif

/// A number as 2^exponent mantissa.
template <class Vector>
struct Split {
  Vector mantissa, exponent;
};

/// `x` positive and finite; the mantissa in [3/4, 3/2). Of other x the results are arbitrary, and differ from level to level.
#if defined(PYLOSS_AVX512)
PYLOSS_INLINE Split<NativeFloat> split(NativeFloat x) {
  const NativeFloat mantissa = _mm512_maskz_getmant_ps(0xffff, x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src);
  return {mantissa, _mm512_maskz_getexp_ps(0xffff, x) - NativeFloat(_mm512_maskz_getexp_ps(0xffff, mantissa))};
}
PYLOSS_INLINE Split<NativeDouble> split(NativeDouble x) {
  const NativeDouble mantissa = _mm512_maskz_getmant_pd(0xff, x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src);
  return {mantissa, _mm512_maskz_getexp_pd(0xff, x) - NativeDouble(_mm512_maskz_getexp_pd(0xff, mantissa))};
}
#else
template <class Vector>
PYLOSS_INLINE Split<Vector> split(Vector x) {
  using Scalar = std::remove_cvref_t<decltype(x[0])>;
  using Integer = std::conditional_t<sizeof(Scalar) == 4, std::uint32_t, std::uint64_t>;
  constexpr int digits = sizeof(Scalar) == 4 ? 23 : 52;
  constexpr Integer one = std::bit_cast<Integer>(Scalar{1}),
                    magic = std::bit_cast<Integer>(static_cast<Scalar>(Integer{3} << (digits - 1)));
  constexpr Integer least = std::bit_cast<Integer>(Scalar{0.75});
  const auto subnormal = x < std::numeric_limits<Scalar>::min();
  x = subnormal ? x * static_cast<Scalar>(Integer{1} << digits) : x;
  const auto bits = std::bit_cast<Native<Integer>>(x) + (one - least);
  // The exponent's bits, shifted down, sit in the low bits of magic: subtracting it as a number leaves the exponent.
  const auto exponent = std::bit_cast<Vector>((bits >> digits) + (magic - (one >> digits))) - std::bit_cast<Scalar>(magic);
  const auto mantissa = std::bit_cast<Vector>((bits & ((Integer{1} << digits) - 1)) + least);
  return {mantissa, exponent - (subnormal ? Vector{} + Scalar{digits} : Vector{})};
}
#endif

/// table[i] for each lane, i being the four leading bits of its fraction.
#if defined(PYLOSS_AVX512)
PYLOSS_INLINE NativeFloat by_leading_bits(const std::array<float, 16>& table, NativeFloat x) {
  const __m512i index = _mm512_maskz_srli_epi32(0xffff, _mm512_castps_si512(x), 19);
  return _mm512_maskz_permutexvar_ps(0xffff, index, _mm512_loadu_ps(table.data()));
}
PYLOSS_INLINE NativeDouble by_leading_bits(const std::array<double, 16>& table, NativeDouble x) {
  const __m512i index = _mm512_maskz_srli_epi64(0xff, _mm512_castpd_si512(x), 48);
  return _mm512_permutex2var_pd(_mm512_loadu_pd(table.data()), index, _mm512_loadu_pd(table.data() + 8));
}
#elif defined(PYLOSS_AVX2)
PYLOSS_INLINE NativeFloat by_leading_bits(const std::array<float, 16>& table, NativeFloat x) {
  const __m256i bits = _mm256_castps_si256(x), index = _mm256_srli_epi32(bits, 19);
  const __m256 lower = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.data()), index),
               upper = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.data() + 8), index);
  return _mm256_blendv_ps(lower, upper, _mm256_castsi256_ps(_mm256_slli_epi32(bits, 9)));
}
PYLOSS_INLINE NativeDouble by_leading_bits(const std::array<double, 16>& table, NativeDouble x) {
  const __m256i index = _mm256_and_si256(_mm256_srli_epi64(_mm256_castpd_si256(x), 48), _mm256_set1_epi64x(15));
  const __m256d all = _mm256_castsi256_pd(_mm256_set1_epi64x(-1));
  return _mm256_mask_i64gather_pd(_mm256_setzero_pd(), table.data(), index, all, sizeof(double));
}
#else
template <class Scalar, class Vector>
PYLOSS_INLINE Vector by_leading_bits(const std::array<Scalar, 16>& table, Vector x) {
  using Integer = std::conditional_t<sizeof(Scalar) == 4, std::uint32_t, std::uint64_t>;
  const auto index = (std::bit_cast<Native<Integer>>(x) >> (sizeof(Scalar) == 4 ? 19 : 48)) & Integer{15};
  for (std::size_t i = 0; i < native_bytes / sizeof(Scalar); ++i) x[i] = table[index[i]];
  return x;
}
#endif

/// Lane i goes to lane i + by, the last ones to the first.
#if defined(PYLOSS_AVX512)
PYLOSS_INLINE NativeFloat rotate(NativeFloat a, std::size_t by) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_maskz_permutexvar_ps(0xffff, _mm512_sub_epi32(lane, _mm512_set1_epi32(static_cast<int>(by))), a);
}
#elif defined(PYLOSS_AVX2)
PYLOSS_INLINE NativeFloat rotate(NativeFloat a, std::size_t by) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_permutevar8x32_ps(a, _mm256_sub_epi32(lane, _mm256_set1_epi32(static_cast<int>(by))));
}
#else
PYLOSS_INLINE NativeFloat rotate(NativeFloat a, std::size_t by) {
  using Bytes = Native<std::uint8_t>;
  constexpr Bytes number{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const Bytes from = (number - static_cast<std::uint8_t>(sizeof(float) * by)) & std::uint8_t{15};
#if defined(__x86_64__)
  return std::bit_cast<NativeFloat>(_mm_shuffle_epi8(std::bit_cast<__m128i>(a), std::bit_cast<__m128i>(from)));
#else
  return std::bit_cast<NativeFloat>(vqtbl1q_u8(std::bit_cast<uint8x16_t>(a), std::bit_cast<uint8x16_t>(from)));
#endif
}
#endif
PYLOSS_INLINE NativeDouble rotate(NativeDouble a, std::size_t by) {
  return std::bit_cast<NativeDouble>(rotate(std::bit_cast<NativeFloat>(a), 2 * by));
}

/// What a function of positive numbers is at 0 or at infinity; the numbers are the instruction's.
enum class Edge { minus_infinity = 4, infinity = 5, zero = 8 };

/// `result` where x is positive and finite; `at_zero` and `at_infinity` there, else NaN.
#if defined(PYLOSS_AVX512)
// By the class of x, from the lowest four bits on: quiet and signalling NaN, 0, 1, -inf, inf, negative, positive.
template <Edge at_zero, Edge at_infinity>
inline constexpr int edges_table = 0x03030022 | static_cast<int>(at_zero) << 8 | static_cast<int>(at_infinity) << 20;
template <Edge at_zero, Edge at_infinity>
PYLOSS_INLINE NativeFloat with_edges(NativeFloat x, NativeFloat result) {
  return _mm512_fixupimm_ps(result, x, _mm512_set1_epi32(edges_table<at_zero, at_infinity>), 0);
}
template <Edge at_zero, Edge at_infinity>
PYLOSS_INLINE NativeDouble with_edges(NativeDouble x, NativeDouble result) {
  return _mm512_fixupimm_pd(result, x, _mm512_set1_epi64(edges_table<at_zero, at_infinity>), 0);
}
#else
template <Edge at_zero, Edge at_infinity, class Vector>
PYLOSS_INLINE Vector with_edges(Vector x, Vector result) {
  using Scalar = std::remove_cvref_t<decltype(x[0])>;
  constexpr Scalar inf = std::numeric_limits<Scalar>::infinity(), nan = std::numeric_limits<Scalar>::quiet_NaN();
  constexpr auto limit = [](Edge at) { return at == Edge::zero ? Scalar{0} : at == Edge::infinity ? inf : -inf; };
  const Vector infinite = Vector{} + limit(at_infinity), zero = Vector{} + limit(at_zero);
  return ((x > 0) & (x < inf)) ? result : (x == 0 ? zero : (x == inf ? infinite : Vector{} + nan));
}
#endif

/// Streaming stores are weakly ordered: a thread fences before others may read what it wrote.
PYLOSS_INLINE void stream_fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

/// Loads `count` < lanes elements; the other lanes are zero and no byte behind `from + count` is touched.
template <class T>
PYLOSS_INLINE Native<T> load_partial(const T* from, std::size_t count) {
#if defined(PYLOSS_AVX512)
  if constexpr (sizeof(T) == 4) {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1u), from);
  } else {
    return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << count) - 1u), from);
  }
#else
  Native<T> a{};
  for (std::size_t i = 0; i < count; ++i) a[i] = from[i];
  return a;
#endif
}

template <class T>
PYLOSS_INLINE void store_partial(T* to, Native<T> a, std::size_t count) {
#if defined(PYLOSS_AVX512)
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1u), a);
  } else {
    _mm512_mask_storeu_pd(to, static_cast<__mmask8>((1u << count) - 1u), a);
  }
#else
  for (std::size_t i = 0; i < count; ++i) to[i] = a[i];
#endif
}

}  // namespace pyloss::simd
