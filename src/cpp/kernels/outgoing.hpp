// Rows of results that leave for the caller's memory while others are computed.
#pragma once

#include <algorithm>

#include "../simd/lanes.hpp"

namespace pyloss {

/// A finished row on its way past the caches, a pack at a time while the next one is computed: as a burst its stores would be waited for.
/// What a row leaves over goes with one that follows it in memory, so that only whole packs are written.
template <class T>
class Outgoing {
 public:
  /// Where in a buffer, which has a group more than a row, the row for `to` is to be computed: as far from the start of a line as `to`.
  static T* place(T* buffer, const T* to) { return buffer + reinterpret_cast<std::uintptr_t>(to) % simd::group_bytes / sizeof(T); }

  /// `from` is the row's place, in another buffer than the row's before; it must stay until finish().
  void start(T* to, T* from, std::size_t size) {
    drain();
    if (to != to_ + size_) finish();
    const std::size_t left = size_ - at_;
    std::copy_n(from_ + at_, left, from - left);
    *this = Outgoing(to - left, from - left, size + left);
    const std::size_t ahead = (-reinterpret_cast<std::uintptr_t>(to_) % simd::native_bytes) / sizeof(T);
    for (; at_ < std::min(ahead, size_); ++at_) to_[at_] = from_[at_];
  }
  PYLOSS_INLINE void step() {
    if (at_ + simd::Pack<T>::lanes > size_) return;
    simd::stream(to_ + at_, simd::Pack<T>::load(from_ + at_).v);
    at_ += simd::Pack<T>::lanes;
  }
  void finish() {
    drain();
    for (; at_ < size_; ++at_) to_[at_] = from_[at_];
  }

  Outgoing() = default;

 private:
  Outgoing(T* to, const T* from, std::size_t size) : to_(to), from_(from), size_(size) {}

  void drain() {
    while (at_ + simd::Pack<T>::lanes <= size_) step();
  }

  T* to_ = nullptr;
  const T* from_ = nullptr;
  std::size_t size_ = 0, at_ = 0;
};

}  // namespace pyloss
