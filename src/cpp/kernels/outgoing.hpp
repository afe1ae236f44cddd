// Rows of results that leave for the caller's memory past the caches.
#pragma once

#include <cstddef>

#include "joined.hpp"

namespace pyloss {

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
  template <class Lanes>
  PYLOSS_INLINE void append(simd::Pack<T> a, Lanes lanes) {
    joined_.append(a, lanes);
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
    if (at_ < size_) joined_.append_some(simd::load_partial<T>(from_ + at_, size_ - at_), size_ - at_);
    at_ = size_;
  }

  Joined<T> joined_;
  const T* from_ = nullptr;
  std::size_t size_ = 0, at_ = 0;
};

}  // namespace pyloss
