// An array as the caller has it: any element type, any strides. Read and written block by block, never copied whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "joined.hpp"

namespace pyloss {

enum class Kind : int { float32, float64, float16, bfloat16, boolean, int8, int16, int32, int64, uint8, uint16, uint32, uint64 };

/// Results beyond this many bytes go past the caches: nobody could read them back from there (measured, see bench/NOTES.md).
inline constexpr std::size_t stream_from = std::size_t{8} << 20;

struct Axis {
  std::size_t size;
  std::ptrdiff_t stride;  // bytes
};

/// Elements in C order over `axes`, which are merged wherever that changes nothing.
class View {
 public:
  View() = default;
  View(void* data, Kind kind, std::vector<Axis> axes);

  explicit operator bool() const { return data_ != nullptr; }
  Kind kind() const { return kind_; }
  std::size_t size() const { return size_; }
  bool constant() const { return axes_.empty(); }
  /// Where element i lies.
  char* at(std::size_t i) const;

  template <class T>
  static constexpr Kind kind_of = std::is_same_v<T, std::int64_t> ? Kind::int64
                                  : sizeof(T) == 4                ? Kind::float32
                                                                  : Kind::float64;

  /// Whether the elements lie side by side as aligned T.
  template <class T>
  bool direct() const {
    return kind_ == kind_of<T> && axes_.size() == 1 && axes_[0].stride == static_cast<std::ptrdiff_t>(sizeof(T)) &&
           reinterpret_cast<std::uintptr_t>(data_) % sizeof(T) == 0;
  }
  /// Elements [begin, begin + count) if they lie side by side as aligned T, otherwise null.
  template <class T>
  T* side_by_side(std::size_t begin, std::size_t count) const {
    if (kind_ != kind_of<T> || axes_.empty() || axes_.back().stride != static_cast<std::ptrdiff_t>(sizeof(T))) return nullptr;
    if (place(begin) + count > axes_.back().size) return nullptr;
    char* const first = at(begin);
    return reinterpret_cast<std::uintptr_t>(first) % sizeof(T) == 0 ? reinterpret_cast<T*>(first) : nullptr;
  }
  template <class T>
  T* pointer(std::size_t i) const {
    return reinterpret_cast<T*>(data_) + i;
  }

  /// Converts elements [begin, begin + count) to T.
  template <class T>
  void read(std::size_t begin, std::size_t count, T* to) const;
  /// Converts `count` results from T, rounding once. Past the caches where there is `joined` and the layout allows; the caller finishes it.
  template <class T>
  void write(std::size_t begin, std::size_t count, const T* from, Joined<T>* joined = nullptr) const;

 private:
  /// Of element i, along the last axis; without a division where there is no other, which rows would pay for again and again.
  std::size_t place(std::size_t i) const { return axes_.size() == 1 ? i : i % axes_.back().size; }
  template <class Run>
  void for_each_run(std::size_t begin, std::size_t count, Run&& run) const;

  char* data_ = nullptr;
  Kind kind_ = Kind::float64;
  std::size_t size_ = 0;
  std::vector<Axis> axes_;
};

}  // namespace pyloss
