// Memory of one thread, aligned to a group.
#pragma once

#include <cstdint>
#include <vector>

#include "../simd/lanes.hpp"

namespace pyloss {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) : data_(size + simd::group<T>) {
    const auto address = reinterpret_cast<std::uintptr_t>(data_.data());
    first_ = data_.data() + (-address % simd::group_bytes) / sizeof(T);
  }
  Buffer(Buffer&&) noexcept = default;  // moving a vector keeps its memory
  Buffer& operator=(Buffer&&) noexcept = default;

  T* data() const { return first_; }

 private:
  std::vector<T> data_;
  T* first_ = nullptr;
};

}  // namespace pyloss
