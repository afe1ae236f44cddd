#include "weights.hpp"

#include <algorithm>
#include <vector>

#include "../simd/lanes.hpp"

namespace pyloss {

namespace {

constexpr std::size_t chunk_size = 32768, block_size = 2048;

/// Adds a block to `sums`; false if a weight is bad.
template <class T>
bool add_block(const T* weight, std::size_t size, double* sums) {
  using V = simd::Pack<T>;
  simd::Sum<T> sum(sums);
  V bad = 0.0;
  simd::for_each_pack<T>(size, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
    const V w = lanes.load(weight + i);
    bad = select((w >= 0.0) & (w < static_cast<double>(simd::infinity<T>)), bad, 1.0);
    sum.add(place, w);
  });
  sum.store(sums);
  bool good = true;
  for (std::size_t i = 0; i < V::lanes; ++i) good = good && bad.v[i] == T{0};
  return good;
}

template <class T>
Checked check(const View& weight, int threads, Interrupt& interrupt) {
  const std::size_t size = weight.size(), chunks = divide_up(size, chunk_size);
  std::vector<double> sums(chunks);
  std::vector<char> bad(chunks);
  for_each_chunk(chunks, threads, interrupt, [&](std::size_t chunk, int) {
    T scratch[block_size];
    alignas(simd::group_bytes) double lane_sums[simd::Sum<T>::size] = {};
    const std::size_t end = std::min((chunk + 1) * chunk_size, size);
    for (std::size_t begin = chunk * chunk_size; begin < end; begin += block_size) {
      const std::size_t count = std::min(block_size, end - begin);
      const T* there = weight.side_by_side<T>(begin, count);
      if (!there) weight.read(begin, count, scratch);
      if (!add_block(there ? there : scratch, count, lane_sums)) bad[chunk] = 1;
    }
    sums[chunk] = simd::Sum<T>::merge(lane_sums);
  });
  Checked result;
  for (const double sum : sums) result.total += sum;
  const auto first = std::find(bad.begin(), bad.end(), 1);
  if (first == bad.end()) return result;
  for (auto i = static_cast<std::size_t>(first - bad.begin()) * chunk_size; i < size; ++i) {
    double w;
    weight.read(i, 1, &w);
    if (!(w >= 0.0 && w < simd::infinity<double>)) {
      result.first_bad = i;
      return result;
    }
  }
  return result;
}

}  // namespace

Checked check_weights(const View& weight, int threads, Interrupt& interrupt) {
  return weight.kind() == Kind::float32 ? check<float>(weight, threads, interrupt) : check<double>(weight, threads, interrupt);
}

}  // namespace pyloss
