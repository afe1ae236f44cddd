// The stable order of 64-bit keys.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace pyloss {

/// A key and whose it is.
struct Keyed {
  std::uint64_t key;
  std::size_t index;
};

/// Ordered as the numbers are (no NaN); zeros of both signs are equal.
inline std::uint64_t ascending(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x + 0.0);
  return bits >> 63 ? ~bits : bits | std::uint64_t{1} << 63;
}
inline std::uint64_t descending(double x) { return ~ascending(x); }

/// Sorts by key, then by index: `items` come in the order of their indices. `spare` is memory for as many. False if `stop()` was true,
/// which is asked every few milliseconds.
template <class Stop>
bool sort_keyed(Keyed* items, Keyed* spare, std::size_t size, Stop&& stop) {
  const auto in_order = [](const Keyed& a, const Keyed& b) { return a.key < b.key; };
  if (std::is_sorted(items, items + size, in_order)) return true;
  // Fewer are sorted by comparison sooner than the counts are cleared.
  constexpr std::size_t few = 2048;
  if (size < few) {
    std::sort(items, items + size, [](const Keyed& a, const Keyed& b) { return a.key < b.key || (a.key == b.key && a.index < b.index); });
    return true;
  }
  constexpr std::size_t bits = 11, digits = (64 + bits - 1) / bits, values = std::size_t{1} << bits;
  const auto digit = [](std::uint64_t key, std::size_t which) { return key >> (which * bits) & (values - 1); };
  constexpr std::size_t block = std::size_t{1} << 20;
  const auto for_each = [&](const Keyed* from, auto&& use) {
    for (std::size_t begin = 0; begin < size; begin += block) {
      if (stop()) return false;
      for (std::size_t i = begin; i < std::min(size, begin + block); ++i) use(from[i]);
    }
    return true;
  };
  std::array<std::array<std::size_t, values>, digits> places{};
  const bool counted = for_each(items, [&](const Keyed& item) {
    for (std::size_t which = 0; which < digits; ++which) ++places[which][digit(item.key, which)];
  });
  if (!counted) return false;
  Keyed *from = items, *to = spare;
  for (std::size_t which = 0; which < digits; ++which) {
    auto& place = places[which];
    // A digit that all share tells nothing.
    if (place[digit(items[0].key, which)] == size) continue;
    std::size_t sum = 0;
    for (std::size_t& each : place) sum += std::exchange(each, sum);
    if (!for_each(from, [&](const Keyed& item) { to[place[digit(item.key, which)]++] = item; })) return false;
    std::swap(from, to);
  }
  if (from != items) std::copy(from, from + size, items);
  return true;
}

}  // namespace pyloss
