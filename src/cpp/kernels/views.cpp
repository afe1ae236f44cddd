#include "views.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "../simd/half.hpp"
#include "../simd/lanes.hpp"

namespace pyloss {

namespace {

struct Float16 {
  std::uint16_t bits;
  operator float() const { return simd::widen_float16(bits); }
  static Float16 from(float a) { return {simd::narrow_float16(a)}; }
};

struct BFloat16 {
  std::uint16_t bits;
  operator float() const { return simd::widen_bfloat16(bits); }
  static BFloat16 from(float a) { return {simd::narrow_bfloat16(a)}; }
};

/// Calls use(Element{}) with the C++ type that `kind` names.
template <class Use>
void with_element(Kind kind, Use&& use) {
  switch (kind) {
    case Kind::float32: return use(float{});
    case Kind::float64: return use(double{});
    case Kind::float16: return use(Float16{});
    case Kind::bfloat16: return use(BFloat16{});
    case Kind::boolean:
    case Kind::uint8: return use(std::uint8_t{});
    case Kind::int8: return use(std::int8_t{});
    case Kind::int16: return use(std::int16_t{});
    case Kind::int32: return use(std::int32_t{});
    case Kind::int64: return use(std::int64_t{});
    case Kind::uint16: return use(std::uint16_t{});
    case Kind::uint32: return use(std::uint32_t{});
    case Kind::uint64: return use(std::uint64_t{});
  }
}

std::size_t element_size(Kind kind) {
  std::size_t size = 0;
  with_element(kind, [&](auto element) { size = sizeof element; });
  return size;
}

// memcpy because the caller's arrays may be misaligned.
template <class Element>
Element load(const char* from) {
  Element a;
  std::memcpy(&a, from, sizeof a);
  return a;
}

template <class T, class Element>
T widen(Element a) {
  // A label beyond int64 must not come out as a negative one, which may be the ignored.
  if constexpr (std::is_same_v<T, std::int64_t> && std::is_same_v<Element, std::uint64_t>) {
    return static_cast<T>(std::min<Element>(a, INT64_MAX));
  } else {
    return static_cast<T>(a);
  }
}

/// Rounded to odd: a further rounding to a half type then comes out as if it were the only one.
float to_odd(double a) {
  const float nearest = static_cast<float>(a);
  if (static_cast<double>(nearest) == a || !(std::abs(nearest) < simd::infinity<float>)) return nearest;
  const bool away = std::abs(static_cast<double>(nearest)) > std::abs(a);
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(nearest) - (away ? 1u : 0u)) | 1u);
}
float to_odd(float a) { return a; }

template <class Element, class T>
Element narrow(T a) {
  if constexpr (requires { Element::from(0.0f); }) {
    return Element::from(to_odd(a));
  } else {
    return static_cast<Element>(a);
  }
}

}  // namespace

View::View(void* data, Kind kind, std::vector<Axis> axes) : data_(static_cast<char*>(data)), kind_(kind), size_(1) {
  for (const Axis& axis : axes) {
    size_ *= axis.size;
    if (axis.size == 1) continue;
    if (!axes_.empty()) {
      Axis& outer = axes_.back();
      if (outer.stride == axis.stride * static_cast<std::ptrdiff_t>(axis.size)) {
        outer = {outer.size * axis.size, axis.stride};
        continue;
      }
    }
    axes_.push_back(axis);
  }
  if (axes_.size() == 1 && axes_[0].stride == 0) axes_.clear();
  if (axes_.empty() && size_ == 1) axes_.push_back({1, static_cast<std::ptrdiff_t>(element_size(kind))});
}

char* View::at(std::size_t i) const {
  if (axes_.empty()) return data_;
  char* at = data_;
  for (std::size_t axis = axes_.size(); --axis > 0; i /= axes_[axis].size) {
    at += static_cast<std::ptrdiff_t>(i % axes_[axis].size) * axes_[axis].stride;
  }
  return at + static_cast<std::ptrdiff_t>(i) * axes_[0].stride;
}

template <class Run>
void View::for_each_run(std::size_t begin, std::size_t count, Run&& run) const {
  if (count == 0) return;  // there may be not one element to read
  if (axes_.empty()) return run(data_, std::ptrdiff_t{0}, count);
  const Axis inner = axes_.back();
  if (axes_.size() == 2) {  // short rows must not cost divisions
    const Axis outer = axes_.front();
    std::size_t within = begin % inner.size;
    char* start = data_ + static_cast<std::ptrdiff_t>(begin / inner.size) * outer.stride;
    for (; count > 0; start += outer.stride, within = 0) {
      const std::size_t length = std::min(count, inner.size - within);
      run(start + static_cast<std::ptrdiff_t>(within) * inner.stride, inner.stride, length);
      count -= length;
    }
    return;
  }
  while (count > 0) {
    const std::size_t length = std::min(count, inner.size - place(begin));
    run(at(begin), inner.stride, length);
    begin += length;
    count -= length;
  }
}

template <class T>
void View::read(std::size_t begin, std::size_t count, T* to) const {
  if (axes_.size() == 2 && axes_[0].stride == 0 && count > axes_[1].size) {  // one row again and again
    std::size_t known = axes_[1].size;
    read(begin, known, to);
    for (std::size_t more; known < count; known += more) {
      more = std::min(known, count - known);
      std::memcpy(to + known, to, more * sizeof(T));
    }
    return;
  }
  with_element(kind_, [&](auto element) {
    using Element = decltype(element);
    for_each_run(begin, count, [&](const char* from, std::ptrdiff_t stride, std::size_t length) {
      if (stride == 0) {
        std::fill_n(to, length, widen<T>(load<Element>(from)));
      } else if (stride == sizeof(Element)) {
        for (std::size_t i = 0; i < length; ++i) to[i] = widen<T>(load<Element>(from + i * sizeof(Element)));
      } else {
        for (std::size_t i = 0; i < length; ++i) to[i] = widen<T>(load<Element>(from + static_cast<std::ptrdiff_t>(i) * stride));
      }
      to += length;
    });
  });
}

template <class T>
void View::write(std::size_t begin, std::size_t count, const T* from, Joined<T>* joined) const {
  with_element(kind_, [&](auto element) {
    using Element = decltype(element);
    for_each_run(begin, count, [&](char* to, std::ptrdiff_t stride, std::size_t length) {
      if (std::is_same_v<Element, T> && joined && stride == sizeof(T)) {
        joined->start(reinterpret_cast<T*>(to));
        joined->append(from, length);
      } else if (stride == sizeof(Element)) {
        for (std::size_t i = 0; i < length; ++i) {
          const Element a = narrow<Element>(from[i]);
          std::memcpy(to + i * sizeof a, &a, sizeof a);
        }
      } else {
        for (std::size_t i = 0; i < length; ++i) {
          const Element a = narrow<Element>(from[i]);
          std::memcpy(to + static_cast<std::ptrdiff_t>(i) * stride, &a, sizeof a);
        }
      }
      from += length;
    });
  });
}

template void View::read(std::size_t, std::size_t, float*) const;
template void View::read(std::size_t, std::size_t, double*) const;
template void View::read(std::size_t, std::size_t, std::int64_t*) const;
template void View::write(std::size_t, std::size_t, const float*, Joined<float>*) const;
template void View::write(std::size_t, std::size_t, const double*, Joined<double>*) const;

}  // namespace pyloss
