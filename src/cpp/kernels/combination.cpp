#include "combination.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "buffer.hpp"
#include "random.hpp"

namespace pyloss {

namespace {

using D = simd::Pack<double>;

/// Columns in which inner products are taken: two rows of them, widened, stay in the first cache.
constexpr std::size_t columns_at_once = 512;
/// Columns of a combination that a thread takes at a time.
constexpr std::size_t combined_at_once = 8192;
/// Into so many parts the rows are shared out, whatever the number of threads.
constexpr std::size_t most_parts = 64;

/// Memory for each thread, from before they start: nothing may throw among them.
template <class T>
std::vector<Buffer<T>> scratch_for(int threads, std::size_t size) {
  std::vector<Buffer<T>> all;
  for (int i = 0; i < std::max(threads, 1); ++i) all.emplace_back(size);
  return all;
}

/// Adds the inner products of two rows with two others over `count` columns.
void add_square_of_products(const double* const* x, const double* const* y, std::size_t count, std::array<double, 4>& to) {
  constexpr std::size_t places = simd::group<double> / D::lanes;
  D sums[4][places];
  for (auto& sum : sums) {
    for (auto& lanes : sum) lanes = 0.0;
  }
  simd::for_each_pack<double>(count, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
    const D x0 = lanes.load(x[0] + i), x1 = lanes.load(x[1] + i), y0 = lanes.load(y[0] + i), y1 = lanes.load(y[1] + i);
    sums[0][place] = fma(x0, y0, sums[0][place]);
    sums[1][place] = fma(x0, y1, sums[1][place]);
    sums[2][place] = fma(x1, y0, sums[2][place]);
    sums[3][place] = fma(x1, y1, sums[3][place]);
  });
  for (std::size_t k = 0; k < 4; ++k) {
    double lane[simd::group<double>];
    for (std::size_t place = 0; place < places; ++place) sums[k][place].store(lane + place * D::lanes);
    to[k] = simd::Sum<double>::merge(lane);
  }
}

/// The elements of a pack as packs of float64: one, or the two halves.
template <class T>
PYLOSS_INLINE auto widened(simd::Pack<T> a) {
  if constexpr (sizeof(T) == 8) {
    return std::array{a};
  } else {
    return std::array{D(simd::widen_low(a.v)), D(simd::widen_high(a.v))};
  }
}

/// Sum of the squares of scale times the elements.
template <class T>
double sum_of_squares(const T* row, std::size_t count, double scale) {
  simd::Sum<T> sum;
  simd::for_each_pack<T>(count, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
    auto a = widened(lanes.load(row + i));
    for (D& part : a) part = part * scale;
    if constexpr (sizeof(T) == 8) {
      sum.add(place, a[0] * a[0]);
    } else {
      sum.add_products(place, a[0], a[0], a[1], a[1]);
    }
  });
  return sum.total();
}

/// Adds factor * row of some rows to `to`, which has room for a whole number of groups of float32.
template <class T, std::size_t count>
void add_scaled(const std::array<const T*, count>& rows, const std::array<double, count>& factors, std::size_t size, double* to) {
  simd::for_each_pack<T>(size, [&](std::size_t i, auto, auto lanes) PYLOSS_INLINE_LAMBDA {
    constexpr std::size_t parts = sizeof(double) / sizeof(T);
    D sum[parts];
    for (std::size_t part = 0; part < parts; ++part) sum[part] = D::load(to + i + part * D::lanes);
    for (std::size_t row = 0; row < count; ++row) {
      const auto a = widened(lanes.load(rows[row] + i));
      for (std::size_t part = 0; part < parts; ++part) sum[part] = fma(a[part], D(factors[row]), sum[part]);
    }
    for (std::size_t part = 0; part < parts; ++part) sum[part].store(to + i + part * D::lanes);
  });
}

/// What squares are taken of: themselves first, then, if these left the range of float64, numbers small or large enough.
constexpr double scales[] = {1.0, 0x1p-600, 0x1p600};

/// Which of the scales serves where the squares add up to `sum`.
std::size_t scale_for(double sum) { return sum == simd::infinity<double> ? 1 : sum < 0x1p-900 ? 2 : 0; }

/// Length of a row, of which sum(scale) gives the sum of squares.
template <class Sum>
double length(Sum&& sum) {
  double squares = sum(1.0);
  const std::size_t at = scale_for(squares);
  if (at != 0) squares = sum(scales[at]);
  return std::sqrt(squares) / scales[at];
}

/// 1 for rows of at most that length; NaN for rows without a length.
double clipping(double length, double longest) {
  if (!(length < simd::infinity<double>)) return std::numeric_limits<double>::quiet_NaN();
  return length <= longest ? 1.0 : longest / length;
}

/// Long rows are read twice: once for their lengths, in parts, and once to be combined.
bool clip_long(const std::vector<View>& rows, double longest, Combination& combination, int threads, Interrupt& interrupt, const View& to) {
  const std::size_t depth = rows[0].size(), pieces = divide_up(depth, chunk_elements);
  std::vector<double> squares[3];
  for (auto& each : squares) each.resize(rows.size() * pieces);
  const bool done = for_each_chunk(rows.size() * pieces, threads, interrupt, [&](std::size_t unit, int) {
    alignas(simd::group_bytes) double scratch[block_elements];
    const std::size_t first = unit % pieces * chunk_elements;
    for_each_block(first, std::min(first + chunk_elements, depth), [&](std::size_t begin, std::size_t count) {
      const double* const row = block_of(rows[unit / pieces], begin, count, scratch);
      for (std::size_t at = 0; at < 3; ++at) squares[at][unit] += sum_of_squares(row, count, scales[at]);
    });
  });
  if (!done) return false;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    combination.coefficients[row] = clipping(length([&](double scale) {
                                               const auto at = static_cast<std::size_t>(std::find(scales, scales + 3, scale) - scales);
                                               const auto begin = squares[at].begin() + static_cast<std::ptrdiff_t>(row * pieces);
                                               return std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(pieces), 0.0);
                                             }),
                                             longest);
  }
  return combine(rows, combination, threads, interrupt, to);
}

/// Rows that are added at a time: so often the sums are loaded and stored less.
constexpr std::size_t rows_at_once = 4;

/// Short rows are read once: clipped and added up while they are in the cache. T holds the elements as they are.
template <class T>
bool clip_short(const Samples& samples, double longest, Combination& combination, int threads, Interrupt& interrupt, const View& to) {
  const std::size_t count = samples.count, depth = samples.depth, room = divide_up(depth, simd::group<float>) * simd::group<float>;
  const std::size_t step = std::max(divide_up(count, most_parts), divide_up(chunk_elements, depth)), pieces = divide_up(count, step);
  const Buffer<double> sums(pieces * room);
  const std::vector<Buffer<T>> all_scratch = scratch_for<T>(threads, rows_at_once * room);
  const bool done = for_each_chunk(pieces, threads, interrupt, [&](std::size_t piece, int thread) {
    T* const scratch = all_scratch[static_cast<std::size_t>(thread)].data();
    std::fill_n(sums.data() + piece * room, room, 0.0);
    const std::size_t end = std::min((piece + 1) * step, count);
    for (std::size_t first = piece * step; first < end && !stopped(interrupt, thread); first += rows_at_once) {
      std::array<const T*, rows_at_once> rows;
      std::array<double, rows_at_once> factors{};
      for (std::size_t i = 0; i < rows_at_once; ++i) {
        rows[i] = rows[0];
        if (first + i >= end) continue;
        rows[i] = block_of(samples.all, (first + i) * depth, depth, scratch + i * room);
        factors[i] = clipping(length([&](double scale) { return sum_of_squares(rows[i], depth, scale); }), longest);
      }
      add_scaled(rows, factors, depth, sums.data() + piece * room);
    }
  });
  if (!done) return false;
  std::vector<View> parts_of_sum;
  for (std::size_t piece = 0; piece < pieces; ++piece) {
    parts_of_sum.emplace_back(sums.data() + piece * room, Kind::float64,
                              std::vector<Axis>{{depth, static_cast<std::ptrdiff_t>(sizeof(double))}});
  }
  combination.coefficients.assign(pieces, 1.0);
  return combine(parts_of_sum, combination, threads, interrupt, to);
}

template <class T>
bool drop(const View& x, double p, std::uint64_t seed, int threads, Interrupt& interrupt, const View& to) {
  const std::size_t size = x.size();
  const Results<T> results(to);
  // Of probability p to 2^-32; the largest word is always kept.
  const auto kept_from = static_cast<std::uint32_t>(std::min(std::round(p * 0x1p32), 0x1p32 - 1.0));
  const T scale = static_cast<T>(1.0 / (1.0 - p));
  return for_each_chunk(divide_up(size, chunk_elements), threads, interrupt, [&](std::size_t chunk, int) {
    alignas(simd::group_bytes) T scratch[2][block_elements];
    alignas(simd::group_bytes) std::uint32_t word[block_elements];
    Joined<T> joined;
    for_each_block(chunk * chunk_elements, std::min((chunk + 1) * chunk_elements, size), [&](std::size_t begin, std::size_t count) {
      random::words(seed, random::Stream::uniform, begin, divide_up(count, random::batch) * random::batch, word);
      const T* const from = block_of(x, begin, count, scratch[0]);
      T* const result = results.block(begin, count, scratch[1]);
      PYLOSS_INDEPENDENT  // `x` may be `to` itself, element by element
      for (std::size_t i = 0; i < count; ++i) {
        const T kept = from[i] * scale;
        result[i] = word[i] >= kept_from ? kept : T{0};
      }
      results.finish(begin, count, result, joined);
    });
    joined.finish();
  });
}

}  // namespace

bool inner_products(const std::vector<View>& rows, double scale, int threads, Interrupt& interrupt, double* to) {
  const std::size_t count = rows.size(), even = count + count % 2, size = rows[0].size();
  // The products of all parts together are few, even of many rows.
  const std::size_t most = std::clamp<std::size_t>((std::size_t{1} << 22) / (even * even), 16, 256);
  const std::size_t step = std::max(chunk_elements, divide_up(divide_up(size, most), columns_at_once) * columns_at_once);
  const std::size_t pieces = divide_up(size, step);
  std::vector<double> products(pieces * even * even);
  const std::vector<Buffer<double>> all_scratch = scratch_for<double>(threads, even * columns_at_once);
  std::vector<std::vector<const double*>> pointers(all_scratch.size(), std::vector<const double*>(even));
  const bool done = for_each_chunk(pieces, threads, interrupt, [&](std::size_t piece, int thread) {
    const Buffer<double>& scratch = all_scratch[static_cast<std::size_t>(thread)];
    std::vector<const double*>& at = pointers[static_cast<std::size_t>(thread)];
    // What stands for the row that makes their number even.
    std::fill_n(scratch.data() + (even - 1) * columns_at_once, columns_at_once, 0.0);
    double* const sums = products.data() + piece * even * even;
    const std::size_t end = std::min((piece + 1) * step, size);
    for (std::size_t begin = piece * step; begin < end; begin += columns_at_once) {
      const std::size_t width = std::min(columns_at_once, end - begin);
      for (std::size_t i = 0; i < even; ++i) {
        double* const own = scratch.data() + i * columns_at_once;
        at[i] = own;
        if (i == count) continue;
        at[i] = block_of(rows[i], begin, width, own);
        if (scale == 1.0) continue;
        for (std::size_t k = 0; k < width; ++k) own[k] = at[i][k] * scale;
        at[i] = own;
      }
      for (std::size_t i = 0; i < even && !stopped(interrupt, thread); i += 2) {
        for (std::size_t j = i; j < even; j += 2) {
          std::array<double, 4> square;
          add_square_of_products(at.data() + i, at.data() + j, width, square);
          for (std::size_t k = 0; k < 4; ++k) sums[(i + k / 2) * even + j + k % 2] += square[k];
        }
      }
      if (interrupt.requested()) return;
    }
  });
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = i; j < count; ++j) {
      double sum = 0.0;
      for (std::size_t piece = 0; piece < pieces; ++piece) sum += products[(piece * even + i) * even + j];
      to[i * count + j] = to[j * count + i] = sum;
    }
  }
  return done;
}

bool combine(const std::vector<View>& rows, const Combination& combination, int threads, Interrupt& interrupt, const View& to) {
  const std::size_t size = to.size();
  const Results<float> narrow(to);
  const Results<double> wide(to);
  return for_each_chunk(divide_up(size, combined_at_once), threads, interrupt, [&](std::size_t chunk, int thread) {
    alignas(simd::group_bytes) double scratch[block_elements];
    alignas(simd::group_bytes) double sum[block_elements];
    alignas(simd::group_bytes) float rounded[block_elements];
    Joined<float> narrow_joined;
    Joined<double> wide_joined;
    const std::size_t end = std::min((chunk + 1) * combined_at_once, size);
    for_each_block(chunk * combined_at_once, end, [&](std::size_t begin, std::size_t count) {
      std::fill_n(sum, count, 0.0);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        if (i % 1024 == 0 && stopped(interrupt, thread)) return;
        const double coefficient = combination.coefficients[i];
        if (coefficient != 0.0) add_scaled(std::array{block_of(rows[i], begin, count, scratch)}, std::array{coefficient}, count, sum);
      }
      if (combination.noise) {
        random::normals(combination.noise->seed, begin, scratch);
        add_scaled(std::array{static_cast<const double*>(scratch)}, std::array{combination.noise->deviation}, count, sum);
      }
      for (std::size_t i = 0; i < count; ++i) sum[i] *= combination.scale;
      if (to.kind() == Kind::float32) {
        for (std::size_t i = 0; i < count; ++i) rounded[i] = static_cast<float>(sum[i]);
        narrow.finish(begin, count, rounded, narrow_joined);
      } else {
        wide.finish(begin, count, sum, wide_joined);
      }
    });
    narrow_joined.finish();
    wide_joined.finish();
  });
}

bool clip_rows(const Samples& samples, double longest, Combination combination, int threads, Interrupt& interrupt, const View& to) {
  if (samples.count == 0 || samples.depth == 0) return combine({}, combination, threads, interrupt, to);
  if (samples.depth <= short_row) {
    const Kind kind = samples.all.kind();
    const bool narrow = kind == Kind::float32 || kind == Kind::float16 || kind == Kind::bfloat16;
    const auto clip = narrow ? clip_short<float> : clip_short<double>;
    return clip(samples, longest, combination, threads, interrupt, to);
  }
  combination.coefficients.resize(samples.count);
  return clip_long(samples.rows, longest, combination, threads, interrupt, to);
}

bool dropout(const View& x, double p, std::uint64_t seed, bool float64, int threads, Interrupt& interrupt, const View& to) {
  return float64 ? drop<double>(x, p, seed, threads, interrupt, to) : drop<float>(x, p, seed, threads, interrupt, to);
}

}  // namespace pyloss
