// Results that leave for the caller's memory past the caches.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../simd/lanes.hpp"

namespace pyloss {

/// Writes results that follow one another in memory as whole packs, wherever the first one lies: a pack that the next one is to fill up
/// is held until then.
template <class T>
class Joined {
  using V = simd::Pack<T>;

 public:
  /// What is appended from now on is for `to`, which is aligned to its elements.
  void start(T* to) {
    if (to == to_ + held_) return;
    finish();
    first_ = held_ = reinterpret_cast<std::uintptr_t>(to) % simd::native_bytes / sizeof(T);
    to_ = to - held_;
  }

  PYLOSS_INLINE void append(V a) {
    const V turned = simd::rotate(a.v, held_);
    const V whole = select(simd::lane_numbers<T>() < V(static_cast<double>(held_)), pack_, turned);
    if (first_ == 0) {
      simd::stream(to_, whole.v);
    } else {
      write(whole, V::lanes);
    }
    pack_ = turned;
    to_ += V::lanes;
  }

  template <bool partial>
  PYLOSS_INLINE void append(V a, simd::Lanes<T, partial> lanes) {
    if (partial && lanes.count < V::lanes) {
      append_some(a, lanes.count);
    } else {
      append(a);
    }
  }
  void append(const T* from, std::size_t count) {
    Joined self = *this;  // a local copy: the stores cannot change it
    simd::for_each_pack<T>(count, [&](std::size_t i, auto, auto lanes) PYLOSS_INLINE_LAMBDA { self.append(lanes.load(from + i), lanes); });
    *this = self;
  }
  /// The first `count` < lanes.
  void append_some(V a, std::size_t count) {
    if (held_ + count >= V::lanes) {
      append(a);
      held_ -= V::lanes - count;
    } else {
      pack_ = select(simd::lane_numbers<T>() < V(static_cast<double>(held_)), pack_, simd::rotate(a.v, held_));
      held_ += count;
    }
  }

  void finish() {
    write(pack_, held_);
    to_ = nullptr;
    held_ = 0;
  }

 private:
  PYLOSS_INLINE void write(V a, std::size_t end) {
    T lane[V::lanes];
    a.store(lane);
    for (; first_ < end; ++first_) to_[first_] = lane[first_];
    first_ = 0;
  }

  T* to_ = nullptr;                   // for pack_
  V pack_ = 0.0;                      // results in the lanes [first_, held_)
  std::size_t first_ = 0, held_ = 0;  // first_ is 0 but in the pack that was started in
};

}  // namespace pyloss
