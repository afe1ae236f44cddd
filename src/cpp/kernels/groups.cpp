#include "groups.hpp"

#include <cstring>

#include "blocks.hpp"

namespace pyloss {

namespace {

/// Neighbours in the array go to different copies of few sums, so that no addition waits for the one before it.
constexpr std::size_t copies_of_few = 4, few_cells = 256;
constexpr std::size_t most_chunks = 1024;
/// If so many neighbours are of one cell, which is common, they are added up in lanes.
constexpr std::size_t stretch = 64;

/// As unsigned numbers the negative ones are too large.
bool in_range(const std::int64_t* number, std::size_t count, std::size_t limit) {
  std::uint64_t outside = 0;
  for (std::size_t i = 0; i < count; ++i) outside |= static_cast<std::uint64_t>(number[i]) >= limit ? 1 : 0;
  return outside == 0;
}

bool same_for_all(const std::int64_t* number, std::size_t count) {
  std::int64_t differs = 0;
  for (std::size_t i = 1; i < count; ++i) differs |= number[i] ^ number[0];
  return differs == 0;
}

/// Cells, stretch by stretch.
class CellReader {
 public:
  explicit CellReader(const Cells& cells) : cells_(cells) {}

  /// Calls use(i, length, same) for the stretches of a block, whose cells are then at hand, one cell if `same`; false if an element has
  /// none.
  template <class Use>
  bool read(std::size_t begin, std::size_t count, Use&& use) {
    const std::int64_t* from = block_of(cells_.groups, begin, count, block_);
    if (cells_.classes) {
      std::int64_t number[block_elements];
      cells_.classes.read(begin, count, number);
      if (!in_range(number, count, cells_.class_count) || !in_range(from, count, cells_.group_count)) return false;
      const auto groups = static_cast<std::int64_t>(cells_.group_count);
      for (std::size_t i = 0; i < count; ++i) block_[i] = from[i] + number[i] * groups;
      from = block_;
    }
    for (std::size_t i = 0; i < count; i += stretch) {
      const std::size_t length = std::min(stretch, count - i);
      simd::prefetch_ahead(from + i, stretch);
      // What is checked is what is used, even if the caller's numbers change meanwhile.
      std::copy_n(from + i, length, cell);
      const bool same = same_for_all(cell, length);
      if (!in_range(cell, same ? 1 : length, cells_.size())) return false;
      use(i, length, same);
    }
    return true;
  }

  std::int64_t cell[stretch];

 private:
  const Cells& cells_;
  std::int64_t block_[block_elements];
};

template <class T>
PYLOSS_INLINE void add_product(simd::Sum<T>& sum, auto place, simd::Pack<T> a, simd::Pack<T> b) {
  using D = simd::Pack<double>;
  if constexpr (sizeof(T) == 4) {
    sum.add_products(place, D(simd::widen_low(a.v)), D(simd::widen_low(b.v)), D(simd::widen_high(a.v)), D(simd::widen_high(b.v)));
  } else {
    sum.add(place, a * b);
  }
}

/// Adds up to two sums what a stretch of one cell comes to.
template <class T>
void add_stretch(const T* value, const T* weight, std::size_t count, Summand summand, double scale, double* to) {
  using V = simd::Pack<T>;
  simd::Sum<T> first, second;
  simd::for_each_pack<T>(count, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
    const V v = lanes.load(value + i);
    if (summand == Summand::square) {
      const V scaled = v * scale;
      add_product<T>(first, place, scaled, scaled);
    } else if (weight) {
      const V w = lanes.load(weight + i);
      add_product<T>(first, place, w, select(w == 0.0, 0.0, v));
      second.add(place, w);
    } else {
      first.add(place, v);
    }
  });
  to[0] += first.total();
  to[1] += weight ? second.total() : static_cast<double>(count);
}

template <class T>
void add_one_by_one(const T* value, const T* weight, const std::int64_t* cell, std::size_t count, Summand summand, double scale,
                    double* sums, std::size_t copies, std::size_t cells) {
  using Pair [[gnu::vector_size(2 * sizeof(double))]] = double;  // both sums of a cell are loaded and stored at once
  const auto add = [&](auto&& pair_of) PYLOSS_INLINE_LAMBDA {
    for (std::size_t i = 0; i < count; ++i) {
      double* const to = sums + 2 * ((i & (copies - 1)) * cells + static_cast<std::size_t>(cell[i]));
      Pair sum;
      std::memcpy(&sum, to, sizeof sum);
      sum += pair_of(i);
      std::memcpy(to, &sum, sizeof sum);
    }
  };
  if (summand == Summand::square) {
    add([=](std::size_t i) {
      const double scaled = static_cast<double>(value[i]) * scale;
      return Pair{scaled * scaled, 1.0};
    });
  } else if (weight) {
    add([=](std::size_t i) {
      const double w = static_cast<double>(weight[i]);
      return Pair{w == 0.0 ? 0.0 : w * static_cast<double>(value[i]), w};
    });
  } else {
    add([=](std::size_t i) { return Pair{static_cast<double>(value[i]), 1.0}; });
  }
}

template <class T>
GroupSums run(const GroupSumsCall& call, Interrupt& interrupt) {
  const std::size_t size = call.values.size(), cells = call.cells.size();
  const std::size_t copies = cells <= few_cells ? copies_of_few : 1;
  // The sums of all chunks take no more memory than the elements do, nor long to clear.
  const std::size_t least = std::max(16 * cells, divide_up(size, most_chunks));
  const std::size_t chunk_size = std::max(chunk_elements, divide_up(least, block_elements) * block_elements);
  const std::size_t chunks = divide_up(size, chunk_size);
  std::vector<double> sums(std::max<std::size_t>(chunks, 1) * 2 * copies * cells);
  std::vector<char> bad(chunks);
  for_each_chunk(chunks, call.threads, interrupt, [&](std::size_t chunk, int thread) {
    alignas(simd::group_bytes) T values[block_elements];
    alignas(simd::group_bytes) T weights[block_elements];
    CellReader reader(call.cells);
    double* const to = sums.data() + chunk * 2 * copies * cells;
    for_each_block(chunk * chunk_size, std::min((chunk + 1) * chunk_size, size), [&](std::size_t begin, std::size_t count) {
      if (stopped(interrupt, thread)) return;
      const T* const value = block_of(call.values, begin, count, values);
      const T* const weight = call.weight ? block_of(call.weight, begin, count, weights) : nullptr;
      const bool good = reader.read(begin, count, [&](std::size_t i, std::size_t length, bool same) {
        const T* const w = weight ? weight + i : nullptr;
        simd::prefetch_ahead(value + i, stretch);
        if (w) simd::prefetch_ahead(w, stretch);
        if (same) {
          add_stretch(value + i, w, length, call.summand, call.scale, to + 2 * reader.cell[0]);
        } else {
          add_one_by_one(value + i, w, reader.cell, length, call.summand, call.scale, to, copies, cells);
        }
      });
      if (!good) bad[chunk] = 1;
    });
  });
  GroupSums result;
  for (std::size_t part = 1; part < std::max<std::size_t>(chunks, 1) * copies; ++part) {
    for (std::size_t i = 0; i < 2 * cells; ++i) sums[i] += sums[part * 2 * cells + i];
  }
  sums.resize(2 * cells);
  result.sums = std::move(sums);
  const auto chunk = std::find(bad.begin(), bad.end(), 1);
  if (chunk == bad.end()) return result;
  CellReader reader(call.cells);
  for (auto i = static_cast<std::size_t>(chunk - bad.begin()) * chunk_size; !result.first_bad; ++i) {
    if (!reader.read(i, 1, [](std::size_t, std::size_t, bool) {})) result.first_bad = i;
  }
  return result;
}

/// Derivatives of `count` elements, whose numbers `factor` has; either may go where these are.
template <class T, class Factor, class CellOf>
PYLOSS_INLINE void spread(const GroupSpreadCall& call, std::size_t count, const Factor* factor, T* grad, T* hess, CellOf&& cell_of) {
  if (!hess) {
    for (std::size_t i = 0; i < count; ++i) grad[i] = static_cast<T>(call.slope[cell_of(i)] * static_cast<double>(factor[i]));
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const double own = static_cast<double>(factor[i]), slope = call.slope[cell_of(i)], share = call.bend[cell_of(i)] * own;
    grad[i] = static_cast<T>(slope * own);
    hess[i] = static_cast<T>(slope * (1.0 - share * share));
  }
}

template <class T>
bool spread(const GroupSpreadCall& call, Interrupt& interrupt) {
  const std::size_t size = call.grad.size();
  const Results<T> grads(call.grad), hesses(call.hess);
  return for_each_chunk(divide_up(size, chunk_elements), call.threads, interrupt, [&](std::size_t chunk, int) {
    alignas(simd::group_bytes) double factors[block_elements];
    alignas(simd::group_bytes) T scratch[2][block_elements];
    Joined<T> grad_joined, hess_joined;
    CellReader reader(call.cells);
    if (!call.factor) std::fill_n(factors, block_elements, 1.0);
    for_each_block(chunk * chunk_elements, std::min((chunk + 1) * chunk_elements, size), [&](std::size_t begin, std::size_t count) {
      T* const grad = grads.block(begin, count, scratch[0]);
      T* const hess = hesses.block(begin, count, scratch[1]);
      const T* const there = call.factor ? call.factor.side_by_side<T>(begin, count) : nullptr;
      if (call.factor && !there) call.factor.read(begin, count, factors);
      const auto with_factor = [&](const auto* factor) {
        return reader.read(begin, count, [&](std::size_t i, std::size_t length, bool same) {
          simd::prefetch_ahead(factor + i, stretch);
          const auto one = static_cast<std::size_t>(reader.cell[0]);
          if (same) {
            spread(call, length, factor + i, grad + i, hess ? hess + i : nullptr, [one](std::size_t) { return one; });
          } else {
            const std::int64_t* const cell = reader.cell;
            spread(call, length, factor + i, grad + i, hess ? hess + i : nullptr,
                   [cell](std::size_t k) { return static_cast<std::size_t>(cell[k]); });
          }
        });
      };
      if (!(there ? with_factor(there) : with_factor(factors))) return;  // changed since they were checked
      grads.finish(begin, count, grad, grad_joined);
      hesses.finish(begin, count, hess, hess_joined);
    });
    grad_joined.finish();
    hess_joined.finish();
  });
}

}  // namespace

Range range_of(const View& groups, int threads, Interrupt& interrupt) {
  const std::size_t size = groups.size(), chunks = divide_up(size, chunk_elements);
  std::vector<Range> ranges(chunks);
  for_each_chunk(chunks, threads, interrupt, [&](std::size_t chunk, int) {
    std::int64_t scratch[block_elements];
    Range range;
    for_each_block(chunk * chunk_elements, std::min((chunk + 1) * chunk_elements, size), [&](std::size_t begin, std::size_t count) {
      const std::int64_t* const group = block_of(groups, begin, count, scratch);
      for (std::size_t i = 0; i < count; ++i) {
        range.least = std::min(range.least, group[i]);
        range.most = std::max(range.most, group[i]);
      }
    });
    ranges[chunk] = range;
  });
  Range whole;
  for (const Range& range : ranges) whole = {std::min(whole.least, range.least), std::max(whole.most, range.most)};
  return whole;
}

GroupSums group_sums(const GroupSumsCall& call, Interrupt& interrupt) {
  return call.float64 ? run<double>(call, interrupt) : run<float>(call, interrupt);
}

bool group_spread(const GroupSpreadCall& call, Interrupt& interrupt) {
  return call.grad.kind() == Kind::float32 ? spread<float>(call, interrupt) : spread<double>(call, interrupt);
}

}  // namespace pyloss
