// Inner products of bfloat16 rows, added up in float32, by instructions that some CPUs have beyond their level: several times faster than
// float32's own, and good enough to rule pairs out.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "native.hpp"

#if defined(PYLOSS_AVX512) && defined(__linux__)
#define PYLOSS_BFLOAT16 1
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace pyloss::simd::bfloat16 {

/// The instructions, by the names of Linux.
enum class Unit : int { none, avx512_bf16, amx_bf16 };
inline constexpr std::array<std::string_view, 3> names{"none", "avx512_bf16", "amx_bf16"};

/// What tile() takes at a time.
inline constexpr std::size_t rows = 32, columns = 32, depth = 32;
/// Numbers in a block of rows or of columns.
inline constexpr std::size_t block = rows * depth;

#if defined(PYLOSS_BFLOAT16)

/// Whether CPU and operating system have the unit. Tiles want a permission for the process, which this asks for.
inline bool has(Unit unit) {
  if (unit == Unit::none) return true;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (unit == Unit::avx512_bf16) return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1u);
  constexpr unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24;
  constexpr long request_permission = 0x1023, tile_data = 18;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & amx_bf16) && (d & amx_tile) &&
         syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

/// The unit in use. avx512_bf16 is chosen by tests only: on the Intel Xeon on which it was measured it takes half as long again as
/// float32's tile.
inline std::atomic<Unit>& unit() {
  static std::atomic<Unit> chosen{has(Unit::amx_bf16) ? Unit::amx_bf16 : Unit::none};
  return chosen;
}

struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start = 0, unused[14] = {};
  std::uint16_t bytes_in_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
inline constexpr TileShapes tile_shapes{};

__attribute__((target("amx-tile"))) inline void set_tiles_up() { _tile_loadconfig(&tile_shapes); }
__attribute__((target("amx-tile"))) inline void release_tiles() { _tile_release(); }

/// In each thread, around its calls of tile(): holds what the unit wants to be set up.
class Session {
 public:
  explicit Session(Unit own) : unit_(own) {
    if (unit_ == Unit::amx_bf16) set_tiles_up();
  }
  ~Session() {
    if (unit_ == Unit::amx_bf16) release_tiles();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Unit own_unit() const { return unit_; }

 private:
  Unit unit_;
};

/// Four sums of 16 x 16 from two blocks of 16 rows and two of 16 columns.
__attribute__((target("amx-tile,amx-bf16"))) inline void tile_of_amx(const std::uint16_t* a, const std::uint16_t* b, std::size_t blocks,
                                                                     float* sums) {
  constexpr std::size_t half = block / 2, lower = rows / 2 * columns;
  // The instructions' operands do not tell the compiler what they read.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::size_t k = 0; k < blocks; ++k, a += block, b += block) {
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + half, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + half, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums, columns * sizeof(float));
  _tile_stored(1, sums + columns / 2, columns * sizeof(float));
  _tile_stored(2, sums + lower, columns * sizeof(float));
  _tile_stored(3, sums + lower + columns / 2, columns * sizeof(float));
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

__attribute__((target("avx512bf16"))) inline void tile_of_avx512(const std::uint16_t* a, const std::uint16_t* b, std::size_t blocks,
                                                                 float* sums) {
  // As many rows as keep the multipliers busy and leave registers for the columns.
  constexpr std::size_t together = 8;
  for (std::size_t first = 0; first < rows; first += together) {
    __m512 sum[together][2];
    for (auto& each : sum) each[0] = each[1] = _mm512_setzero_ps();
    for (std::size_t k = 0; k < blocks; ++k) {
      const std::uint16_t *const row = a + k * block + first * depth, *const column = b + k * block;
      for (std::size_t pair = 0; pair < depth / 2; ++pair) {
        const auto left = reinterpret_cast<__m512bh>(_mm512_loadu_si512(column + pair * 32));
        const auto right = reinterpret_cast<__m512bh>(_mm512_loadu_si512(column + block / 2 + pair * 32));
        for (std::size_t r = 0; r < together; ++r) {
          std::int32_t both;
          std::memcpy(&both, row + r * depth + 2 * pair, sizeof both);
          const auto x = reinterpret_cast<__m512bh>(_mm512_set1_epi32(both));
          sum[r][0] = _mm512_dpbf16_ps(sum[r][0], x, left);
          sum[r][1] = _mm512_dpbf16_ps(sum[r][1], x, right);
        }
      }
    }
    for (std::size_t r = 0; r < together; ++r) {
      _mm512_storeu_ps(sums + (first + r) * columns, sum[r][0]);
      _mm512_storeu_ps(sums + (first + r) * columns + 16, sum[r][1]);
    }
  }
}

/// sums[row][column] over `blocks` blocks of features. In a block of `a`, row after row; in one of `b`, the first 16 columns, then the
/// others: a pair of features of each column side by side, pair after pair.
PYLOSS_INLINE void tile(const Session& session, const std::uint16_t* a, const std::uint16_t* b, std::size_t blocks, float* sums) {
  if (session.own_unit() == Unit::amx_bf16) {
    tile_of_amx(a, b, blocks, sums);
  } else {
    tile_of_avx512(a, b, blocks, sums);
  }
}

#else

inline bool has(Unit unit) { return unit == Unit::none; }
inline std::atomic<Unit>& unit() {
  static std::atomic<Unit> chosen{Unit::none};
  return chosen;
}

#endif

}  // namespace pyloss::simd::bfloat16
