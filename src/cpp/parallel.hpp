// Fixed chunks shared among threads: the work of a chunk never depends on who does it, so results do not depend on the thread count.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "simd/native.hpp"

namespace pyloss {

/// Asks the caller, at most every 50 ms and only from the calling thread, whether to go on.
class Interrupt {
 public:
  using Poll = bool (*)();

  explicit Interrupt(Poll poll) : poll_(poll), last_(Clock::now()) {}

  bool requested() const { return requested_.load(std::memory_order_relaxed); }

  /// To be called by the calling thread between pieces of work of well under 50 ms.
  bool check() {
    const auto now = Clock::now();
    if (now - last_ >= std::chrono::milliseconds(50)) {
      last_ = now;
      if (poll_ && poll_()) requested_.store(true, std::memory_order_relaxed);
    }
    return requested();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Poll poll_;
  Clock::time_point last_;
  std::atomic<bool> requested_{false};
};

constexpr std::size_t divide_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// Calls `work(chunk, thread)` once for every chunk; false if interrupted. `work` must not throw. What it streams to memory is there for
/// all threads when this returns.
template <class Work>
bool for_each_chunk(std::size_t chunks, int threads, Interrupt& interrupt, Work&& work) {
  // Taken as they come, since on a shared machine one core may be slower than the other for a while; and not by an OpenMP loop, which
  // cannot be left: after Ctrl-C it would count through the chunks of the longest calls for seconds. Neighbours are taken together while
  // many are left: where a core leaves off and another goes on, the memory idles (2.0 instead of 1.8 ms to read 64 MB by 128 kB).
  constexpr std::size_t most_together = 32;
  const std::size_t shares = 4 * static_cast<std::size_t>(threads > 1 ? threads : 1);
  std::atomic<std::size_t> next{0};
  const auto take_part = [&](int thread) {
    std::size_t chunk = next.load(std::memory_order_relaxed);
    while (chunk < chunks) {
      const std::size_t share = (chunks - chunk) / shares, together = share < 1 ? 1 : share < most_together ? share : most_together;
      if (!next.compare_exchange_weak(chunk, chunk + together, std::memory_order_relaxed)) continue;
      for (const std::size_t end = chunk + together; chunk < end; ++chunk) {
        if (thread == 0 ? interrupt.check() : interrupt.requested()) return;
        work(chunk, thread);
      }
      chunk = next.load(std::memory_order_relaxed);
    }
  };
#if defined(_OPENMP)
  if (threads > 1 && chunks > 1) {
#pragma omp parallel num_threads(threads)
    {
      take_part(omp_get_thread_num());
      simd::stream_fence();
    }
    return !interrupt.requested();
  }
#endif
  (void)threads;
  take_part(0);
  simd::stream_fence();
  return !interrupt.requested();
}

}  // namespace pyloss
