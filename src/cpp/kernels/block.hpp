// The plain pointers on which an inner loop works, whatever the caller's arrays look like.
#pragma once

#include <cstddef>

#include "../simd/lanes.hpp"

namespace pyloss {

/// Element i is at[i], or at[0 .. lanes) again and again where the input is one number for all (mask 0).
template <class T>
struct Input {
  const T* at = nullptr;
  std::size_t mask = ~std::size_t{0};

  template <class Lanes>
  PYLOSS_INLINE simd::Pack<T> load(std::size_t i, Lanes lanes) const {
    return lanes.load(at + (i & mask));
  }
};

/// Where results go: to[i] = result * scale (+ add[i]). Absent where `to` is null.
template <class T>
struct Output {
  T* to = nullptr;
  const T* add = nullptr;
  T scale = 1;
  bool stream = false;  // past the caches; `to` is then aligned to a group

  template <class Lanes>
  PYLOSS_INLINE void store(std::size_t i, simd::Pack<T> a, Lanes lanes) const {
    a *= simd::Pack<T>(static_cast<double>(scale));
    if (add) a += lanes.load(add + i);
    if (stream) {
      lanes.stream(to + i, a);
    } else {
      lanes.store(to + i, a);
    }
  }
};

/// A number that stands for a whole input.
template <class T>
struct Constant {
  alignas(simd::group_bytes) T lanes[simd::group<T>];

  explicit Constant(double x) {
    for (auto& lane : lanes) lane = static_cast<T>(x);
  }
  operator Input<T>() const { return {lanes, 0}; }
};

}  // namespace pyloss
