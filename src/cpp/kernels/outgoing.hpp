// Rows of results that leave for the caller's memory while others are computed.
#pragma once

#include <algorithm>

#include "../simd/lanes.hpp"

namespace pyloss {

/// A finished row on its way past the caches, a pack at a time while the next one is computed: as a burst its stores would be waited for.
template <class T>
class Outgoing {
 public:
  /// `from` must stay until finish().
  void start(T* to, const T* from, std::size_t size) {
    *this = Outgoing(to, from, size);
    __builtin_prefetch(to + size, 1);  // rows may share a line, which is not streamed: waiting for it would hold up the stores behind
    const std::size_t ahead = (-reinterpret_cast<std::uintptr_t>(to) % simd::native_bytes) / sizeof(T);
    for (; at_ < std::min(ahead, size); ++at_) to[at_] = from[at_];
  }
  PYLOSS_INLINE void step() {
    if (at_ + simd::Pack<T>::lanes > size_) return;
    simd::stream(to_ + at_, simd::Pack<T>::load(from_ + at_).v);
    at_ += simd::Pack<T>::lanes;
  }
  void finish() {
    while (at_ + simd::Pack<T>::lanes <= size_) step();
    for (; at_ < size_; ++at_) to_[at_] = from_[at_];
  }

  Outgoing() = default;

 private:
  Outgoing(T* to, const T* from, std::size_t size) : to_(to), from_(from), size_(size) {}

  T* to_ = nullptr;
  const T* from_ = nullptr;
  std::size_t size_ = 0, at_ = 0;
};

}  // namespace pyloss
