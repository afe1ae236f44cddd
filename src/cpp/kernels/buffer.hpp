// Memory aligned to a group, not initialised.
#pragma once

#include <cstdint>
#include <memory>

#include "../simd/lanes.hpp"

namespace pyloss {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) : data_(std::make_unique_for_overwrite<T[]>(size + simd::group<T>)) {
    const auto address = reinterpret_cast<std::uintptr_t>(data_.get());
    first_ = data_.get() + (-address % simd::group_bytes) / sizeof(T);
  }
  Buffer(Buffer&&) noexcept = default;
  Buffer& operator=(Buffer&&) noexcept = default;

  T* data() const { return first_; }

 private:
  std::unique_ptr<T[]> data_;
  T* first_ = nullptr;
};

}  // namespace pyloss
