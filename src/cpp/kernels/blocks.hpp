// Walking arrays block by block: the caller's memory itself where that serves, scratch where it does not.
#pragma once

#include <algorithm>

#include "../parallel.hpp"
#include "../simd/lanes.hpp"
#include "views.hpp"

namespace pyloss {

/// Elements that one thread takes at a time, whatever the number of threads.
inline constexpr std::size_t chunk_elements = 32768;
/// Elements that pass through scratch at a time: every block but the last of a chunk, and a whole number of groups.
inline constexpr std::size_t block_elements = 1024;

/// Whether the call is to end; to be asked between pieces of work of well under 50 ms.
inline bool stopped(Interrupt& interrupt, int thread) { return thread == 0 ? interrupt.check() : interrupt.requested(); }

/// Calls use(begin, count) for the blocks of elements [first, last).
template <std::size_t elements = block_elements, class Use>
void for_each_block(std::size_t first, std::size_t last, Use&& use) {
  for (std::size_t begin = first; begin < last; begin += elements) use(begin, std::min(elements, last - begin));
}

/// Elements [begin, begin + count) of `view`.
template <class T>
const T* block_of(const View& view, std::size_t begin, std::size_t count, T* scratch) {
  if (const T* there = view.side_by_side<T>(begin, count)) return there;
  view.read(begin, count, scratch);
  return scratch;
}

/// An output of the caller, or none.
template <class T>
class Results {
 public:
  explicit Results(const View& view) : view_(view), large_(view && view.size() * sizeof(T) >= stream_from) {}

  /// Whether all is large, and aligned to groups: a loop may then stream to direct(0) and on.
  bool streams() const {
    return large_ && view_.template direct<T>() && reinterpret_cast<std::uintptr_t>(direct(0)) % simd::group_bytes == 0;
  }
  T* direct(std::size_t begin) const { return view_.template pointer<T>(begin); }

  /// Where a block's results are to be put; null if nobody wants them. Large ones are streamed from scratch.
  T* block(std::size_t begin, std::size_t count, T* scratch) const {
    if (!view_) return nullptr;
    T* const there = large_ ? nullptr : view_.side_by_side<T>(begin, count);
    return there ? there : scratch;
  }
  /// `joined` is to be finished after the last block of a chunk.
  void finish(std::size_t begin, std::size_t count, const T* from, Joined<T>& joined) const {
    if (view_ && from != view_.side_by_side<T>(begin, count)) view_.write(begin, count, from, large_ ? &joined : nullptr);
  }

 private:
  const View& view_;
  bool large_;
};

}  // namespace pyloss
