// Pack<T>: one machine vector of T with the operators in which losses are written. Mask<T>: the answer of a comparison.
#pragma once

#include <array>
#include <bit>
#include <limits>
#include <type_traits>
#include <utility>

#include "native.hpp"

namespace pyloss::simd {

template <class T>
using IntegerOf = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;

template <class T>
struct Mask {
  Native<IntegerOf<T>> bits;  // all ones where true

  friend PYLOSS_INLINE Mask operator&(Mask a, Mask b) { return {a.bits & b.bits}; }
  friend PYLOSS_INLINE Mask operator|(Mask a, Mask b) { return {a.bits | b.bits}; }
  friend PYLOSS_INLINE Mask operator!(Mask a) { return {~a.bits}; }
};

template <class T>
struct Pack {
  using Scalar = T;
  using Integer = IntegerOf<T>;
  using Integers = Native<Integer>;
  static constexpr std::size_t lanes = native_bytes / sizeof(T);

  Native<T> v;

  Pack() = default;
  PYLOSS_INLINE Pack(Native<T> native) : v(native) {}
  /// Every lane the same. Subtracting zero keeps the sign of -0.0, which adding zero would lose.
  PYLOSS_INLINE Pack(double x) : v(static_cast<T>(x) - Native<T>{}) {}

  /// Every lane x.
  static PYLOSS_INLINE Pack all(T x) { return x - Native<T>{}; }

  static PYLOSS_INLINE Pack load(const T* from) {
    Pack a;
    std::memcpy(&a.v, from, sizeof a.v);
    return a;
  }
  PYLOSS_INLINE void store(T* to) const { std::memcpy(to, &v, sizeof v); }

  friend PYLOSS_INLINE Pack operator+(Pack a, Pack b) { return a.v + b.v; }
  friend PYLOSS_INLINE Pack operator-(Pack a, Pack b) { return a.v - b.v; }
  friend PYLOSS_INLINE Pack operator*(Pack a, Pack b) { return a.v * b.v; }
  friend PYLOSS_INLINE Pack operator/(Pack a, Pack b) { return a.v / b.v; }
  friend PYLOSS_INLINE Pack operator-(Pack a) { return -a.v; }
  PYLOSS_INLINE Pack& operator+=(Pack b) { return *this = *this + b; }
  PYLOSS_INLINE Pack& operator*=(Pack b) { return *this = *this * b; }

  friend PYLOSS_INLINE Mask<T> operator<(Pack a, Pack b) { return {a.v < b.v}; }
  friend PYLOSS_INLINE Mask<T> operator<=(Pack a, Pack b) { return {a.v <= b.v}; }
  friend PYLOSS_INLINE Mask<T> operator>(Pack a, Pack b) { return {a.v > b.v}; }
  friend PYLOSS_INLINE Mask<T> operator>=(Pack a, Pack b) { return {a.v >= b.v}; }
  friend PYLOSS_INLINE Mask<T> operator==(Pack a, Pack b) { return {a.v == b.v}; }
  friend PYLOSS_INLINE Mask<T> operator!=(Pack a, Pack b) { return {a.v != b.v}; }

  /// a * b + c, rounded once where the machine has the instruction (every level but x86-64-v2).
  friend PYLOSS_INLINE Pack fma(Pack a, Pack b, Pack c) { return simd::fma(a.v, b.v, c.v); }
  friend PYLOSS_INLINE Pack sqrt(Pack a) { return simd::sqrt(a.v); }
  /// To the nearest integer, ties to even.
  friend PYLOSS_INLINE Pack round(Pack a) { return simd::round(a.v); }

  PYLOSS_INLINE Integers bits() const { return std::bit_cast<Integers>(v); }
  static PYLOSS_INLINE Pack from_bits(Integers i) { return std::bit_cast<Native<T>>(i); }
};

/// As many numbers of the same type, or float32 for float64, converted.
template <class T>
PYLOSS_INLINE void load_as(const T* from, Pack<T>& to) {
  to = Pack<T>::load(from);
}
PYLOSS_INLINE void load_as(const float* from, Pack<double>& to) { to = load_widened(from); }
template <class T>
PYLOSS_INLINE void store_as(T* to, Pack<T> a) {
  a.store(to);
}
PYLOSS_INLINE void store_as(float* to, Pack<double> a) {
  using Half [[gnu::vector_size(native_bytes / 2)]] = float;
  const Half narrow = __builtin_convertvector(a.v, Half);
  std::memcpy(to, &narrow, sizeof narrow);
}

/// Every lane the same integer.
template <class T>
PYLOSS_INLINE Native<IntegerOf<T>> integers(IntegerOf<T> i) {
  return i - Native<IntegerOf<T>>{};
}

template <class T>
inline constexpr T infinity = std::numeric_limits<T>::infinity();

template <class T>
PYLOSS_INLINE Pack<T> abs(Pack<T> a) {
  return Pack<T>::from_bits(a.bits() & integers<T>(std::numeric_limits<IntegerOf<T>>::max()));
}

/// `magnitude` with the sign bit of `sign`.
template <class T>
PYLOSS_INLINE Pack<T> copysign(Pack<T> magnitude, Pack<T> sign) {
  const auto all_but_sign = integers<T>(std::numeric_limits<IntegerOf<T>>::max());
  return Pack<T>::from_bits((magnitude.bits() & all_but_sign) | (sign.bits() & ~all_but_sign));
}

/// NaN in the first argument is kept, so that max(x, 0.0) of a NaN prediction is NaN.
template <class T>
PYLOSS_INLINE Pack<T> max(Pack<T> a, std::type_identity_t<Pack<T>> b) {
  return simd::max(a.v, b.v);
}
template <class T>
PYLOSS_INLINE Pack<T> min(Pack<T> a, std::type_identity_t<Pack<T>> b) {
  return simd::min(a.v, b.v);
}
template <class T>
PYLOSS_INLINE Pack<T> clamp(Pack<T> a, std::type_identity_t<Pack<T>> low, std::type_identity_t<Pack<T>> high) {
  return min(max(a, low), high);
}

template <class T>
PYLOSS_INLINE Pack<T> select(Mask<T> where, std::type_identity_t<Pack<T>> a, std::type_identity_t<Pack<T>> b) {
  return {where.bits ? a.v : b.v};
}

/// Whether the sign bit is set: also of -0.0.
template <class T>
PYLOSS_INLINE Mask<T> signbit(Pack<T> a) {
  return {a.bits() < integers<T>(0)};
}

/// `a` with its sign turned where that of `sign` is negative.
template <class T>
PYLOSS_INLINE Pack<T> turn(Pack<T> a, Pack<T> sign) {
  return Pack<T>::from_bits(a.bits() ^ (sign.bits() & integers<T>(std::numeric_limits<IntegerOf<T>>::min())));
}

/// Bit i is set where lane i is true.
template <class T>
PYLOSS_INLINE unsigned bits_of(Mask<T> mask) {
  return sign_bits(std::bit_cast<Native<T>>(mask.bits));
}

/// -1, 0 or 1; NaN for NaN.
template <class T>
PYLOSS_INLINE Pack<T> sign(Pack<T> a) {
  return select(a > 0.0, 1.0, select(a < 0.0, -1.0, a));
}

/// a * b, but 0 where a is 0 even if b is infinite: the limit of 0 log 0.
template <class T>
PYLOSS_INLINE Pack<T> times_or_zero(Pack<T> a, Pack<T> b) {
  return select(a == 0.0, 0.0, a * b);
}

}  // namespace pyloss::simd
