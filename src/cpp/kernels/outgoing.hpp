// Rows of results that leave for the caller's memory past the caches.
#pragma once

#include <algorithm>

#include "../simd/lanes.hpp"

namespace pyloss {

/// Writes results that follow one another in memory as whole packs, wherever the first one lies: a pack that the next one is to fill up
/// is held until then.
template <class T>
class Joined {
  using V = simd::Pack<T>;

 public:
  /// What is appended from now on is for `to`.
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

  /// The first `count` < lanes.
  void append(V a, std::size_t count) {
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

/// A finished row on its way past the caches, a pack at a time while the next one is computed: as a burst its stores would be waited for.
/// Or the row that is being computed, where each result is known at once.
template <class T>
class Outgoing {
 public:
  /// What is appended from now on is for `to`.
  void start(T* to) {
    drain();
    joined_.start(to);
  }
  template <bool partial>
  PYLOSS_INLINE void append(simd::Pack<T> a, simd::Lanes<T, partial> lanes) {
    if (partial && lanes.count < simd::Pack<T>::lanes) {
      joined_.append(a, lanes.count);
    } else {
      joined_.append(a);
    }
  }

  /// `from` is a row for `to`, and must stay until the next one is started or all is finished.
  void start(T* to, const T* from, std::size_t size) {
    start(to);
    from_ = from, size_ = size, at_ = 0;
  }
  PYLOSS_INLINE void step() {
    if (at_ + simd::Pack<T>::lanes > size_) return;
    joined_.append(simd::Pack<T>::load(from_ + at_));
    at_ += simd::Pack<T>::lanes;
  }

  void finish() {
    drain();
    joined_.finish();
  }

 private:
  void drain() {
    while (at_ + simd::Pack<T>::lanes <= size_) step();
    if (at_ < size_) joined_.append(simd::load_partial<T>(from_ + at_, size_ - at_), size_ - at_);
    at_ = size_;
  }

  Joined<T> joined_;
  const T* from_ = nullptr;
  std::size_t size_ = 0, at_ = 0;
};

}  // namespace pyloss
