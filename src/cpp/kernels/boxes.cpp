#include "boxes.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "../losses/registry.hpp"
#include "buffer.hpp"

namespace pyloss {

namespace {

/// Boxes that pass through scratch at a time, and those that one thread takes, whatever the number of threads.
constexpr std::size_t block_size = 256, chunk_size = 8192;

/// Boxes coordinate by coordinate, as the formulas read them.
template <class T>
class Columns {
 public:
  explicit Columns(std::size_t size) : size_(divide_up(size, simd::group<T>) * simd::group<T>), data_(4 * size_) {}

  T* column(std::size_t i) const { return data_.data() + i * size_; }

  template <class Lanes>
  PYLOSS_INLINE Box<simd::Pack<T>> load(std::size_t i, Lanes lanes) const {
    return {lanes.load(column(0) + i), lanes.load(column(1) + i), lanes.load(column(2) + i), lanes.load(column(3) + i)};
  }
  template <class Lanes>
  PYLOSS_INLINE void store(std::size_t i, const Box<simd::Pack<T>>& box, Lanes lanes) const {
    lanes.store(column(0) + i, box.x1), lanes.store(column(1) + i, box.y1);
    lanes.store(column(2) + i, box.x2), lanes.store(column(3) + i, box.y2);
  }

 private:
  std::size_t size_;
  Buffer<T> data_;
};

/// The corners of boxes.
template <class V>
PYLOSS_INLINE Box<V> corners(BoxFormat format, const Box<V>& box) {
  if (format == BoxFormat::xyxy) return box;
  const V x = format == BoxFormat::xywh ? box.x1 : box.x1 - 0.5 * box.x2, y = format == BoxFormat::xywh ? box.y1 : box.y1 - 0.5 * box.y2;
  return {x, y, x + box.x2, y + box.y2};
}

/// Derivatives by the numbers that came, of those by the corners.
template <class V>
PYLOSS_INLINE Box<V> carried_back(BoxFormat format, const Box<V>& slope) {
  if (format == BoxFormat::xyxy) return slope;
  const V x = slope.x1 + slope.x2, y = slope.y1 + slope.y2;
  if (format == BoxFormat::xywh) return {x, y, slope.x2, slope.y2};
  return {x, y, 0.5 * (slope.x2 - slope.x1), 0.5 * (slope.y2 - slope.y1)};
}

/// Boxes side by side, as four columns.
template <class T>
void take_apart(const T* from, std::size_t count, const Columns<double>& to) {
  simd::prefetch_ahead(from, 4 * count);
  double *const x1 = to.column(0), *const y1 = to.column(1), *const x2 = to.column(2), *const y2 = to.column(3);
  for (std::size_t i = 0; i < count; ++i) x1[i] = from[4 * i], y1[i] = from[4 * i + 1], x2[i] = from[4 * i + 2], y2[i] = from[4 * i + 3];
}

/// Four columns as boxes side by side.
template <class T>
void put_together(const Columns<double>& from, std::size_t count, T* to) {
  const auto put = [&](std::size_t k, std::size_t i) PYLOSS_INLINE_LAMBDA { to[4 * i + k] = static_cast<T>(from.column(k)[i]); };
  for (std::size_t i = 0; i < count; ++i) put(0, i), put(1, i), put(2, i), put(3, i);
}

/// What one thread needs of its own.
struct Scratch {
  Columns<double> pred{block_size}, target{block_size}, grad{block_size};
  Buffer<double> rows{4 * block_size}, weight{block_size}, value{block_size};
  Buffer<float> narrow_rows{4 * block_size};
  Joined<double> joined;
  Joined<float> narrow_joined;

  /// Reads boxes [begin, begin + count).
  void read(const View& view, std::size_t begin, std::size_t count, const Columns<double>& to) {
    if (const float* const floats = view.side_by_side<float>(4 * begin, 4 * count)) return take_apart(floats, count, to);
    const double* from = view.side_by_side<double>(4 * begin, 4 * count);
    if (!from) view.read(4 * begin, 4 * count, rows.data()), from = rows.data();
    take_apart(from, count, to);
  }

  void write(const View& view, std::size_t begin, std::size_t count, const Columns<double>& from, bool large) {
    if (view.kind() == Kind::float32) {
      put_together(from, count, narrow_rows.data());
      view.write(4 * begin, 4 * count, narrow_rows.data(), large ? &narrow_joined : nullptr);
    } else {
      put_together(from, count, rows.data());
      view.write(4 * begin, 4 * count, rows.data(), large ? &joined : nullptr);
    }
  }
};

/// In float64, whatever the type of the boxes: no difference or area of float32 is rounded much or overflows, and memory is as slow.
template <class Loss, bool Grad>
bool run(const BoxCall& call, Interrupt& interrupt, double& total) {
  using V = simd::Pack<double>;
  const Loss loss{{call.eps}};
  const std::size_t chunks = divide_up(call.boxes, chunk_size);
  const bool large = Grad && 4 * call.boxes * (call.grad.kind() == Kind::float64 ? sizeof(double) : sizeof(float)) >= stream_from;
  std::vector<double> totals(chunks);
  std::vector<Scratch> scratch(std::clamp<std::size_t>(chunks, 1, static_cast<std::size_t>(std::max(call.threads, 1))));
  const bool done = for_each_chunk(chunks, static_cast<int>(scratch.size()), interrupt, [&](std::size_t chunk, int thread) {
    Scratch& own = scratch[static_cast<std::size_t>(thread)];
    alignas(simd::group_bytes) double sums[simd::Sum<double>::size] = {};
    const std::size_t end = std::min(call.boxes, (chunk + 1) * chunk_size);
    for (std::size_t begin = chunk * chunk_size; begin < end; begin += block_size) {
      const std::size_t count = std::min(block_size, end - begin);
      own.read(call.pred, begin, count, own.pred);
      own.read(call.target, begin, count, own.target);
      if (call.weight) {
        call.weight.read(begin, count, own.weight.data());
      } else {
        std::fill_n(own.weight.data(), count, 1.0);
      }
      simd::Sum<double> sum(sums);
      simd::for_each_pack<double>(count, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
        const auto at = loss(corners(call.format, own.pred.load(i, lanes)), corners(call.format, own.target.load(i, lanes)));
        const V w = lanes.load(own.weight.data() + i);
        // Lanes that are no boxes have weight 0.
        const auto excluded = w == 0.0;
        const V value = select(excluded, 0.0, w * (1.0 - at.score));
        sum.add(place, value);
        if (call.value) lanes.store(own.value.data() + i, value * call.scale);
        if constexpr (Grad) {
          const V factor = w * -call.scale;
          const Box<V> slope = carried_back(call.format, at.slope);
          const auto scaled = [&](V each) PYLOSS_INLINE_LAMBDA { return select(excluded, 0.0, factor * each); };
          own.grad.store(i, {scaled(slope.x1), scaled(slope.y1), scaled(slope.x2), scaled(slope.y2)}, lanes);
        }
      });
      sum.store(sums);
      if (call.value) call.value.write(begin, count, own.value.data());
      if constexpr (Grad) own.write(call.grad, begin, count, own.grad, large);
    }
    own.joined.finish();
    own.narrow_joined.finish();
    totals[chunk] = simd::Sum<double>::merge(sums);
  });
  for (const double each : totals) total += each;
  return done;
}

/// All boxes as columns of T, multiplied by `scale`; `largest` finds what to scale by.
template <class T>
Columns<T> columns_of(const View& view, std::size_t count, BoxFormat format, double scale, double* largest) {
  using V = simd::Pack<double>;
  Scratch own;
  Columns<T> to(largest ? 0 : count);
  for (std::size_t begin = 0; begin < count; begin += block_size) {
    const std::size_t some = std::min(block_size, count - begin);
    own.read(view, begin, some, own.pred);
    simd::for_each_pack<double>(some, [&](std::size_t i, auto, auto lanes) PYLOSS_INLINE_LAMBDA {
      const Box<V> box = corners(format, own.pred.load(i, lanes));
      own.pred.store(i, {box.x1 * scale, box.y1 * scale, box.x2 * scale, box.y2 * scale}, lanes);
    });
    for (std::size_t k = 0; k < 4; ++k) {
      for (std::size_t i = 0; i < some; ++i) {
        const double at = own.pred.column(k)[i];
        if (!largest) {
          to.column(k)[begin + i] = static_cast<T>(at);
        } else if (std::abs(at) > *largest && std::isfinite(at)) {
          *largest = std::abs(at);
        }
      }
    }
  }
  return to;
}

template <class T, class Loss>
bool run_matrix(const BoxMatrixCall& call, Interrupt& interrupt) {
  using V = simd::Pack<T>;
  const Loss loss{{0.0}};
  // Scores do not depend on the unit of length: one in which no area overflows or vanishes, a power of 2.
  double largest = 0.0;
  columns_of<T>(call.a, call.rows, call.format, 1.0, &largest);
  columns_of<T>(call.b, call.columns, call.format, 1.0, &largest);
  const double limit = sizeof(T) == 4 ? 0x1p20 : 0x1p200;
  const bool far = largest > limit || (largest > 0.0 && largest < 1.0 / limit);
  const double scale = far ? std::ldexp(1.0, -std::clamp(std::ilogb(largest), -1000, 1000)) : 1.0;
  const Columns<T> a = columns_of<T>(call.a, call.rows, call.format, scale, nullptr),
                   b = columns_of<T>(call.b, call.columns, call.format, scale, nullptr);
  // A unit is some columns of one row: those columns stay in the cache for the rows that follow.
  constexpr std::size_t wide = 2048, tall = 16;
  const std::size_t across = divide_up(call.columns, wide), units = divide_up(call.rows, tall) * across;
  const bool large = call.rows * call.columns * sizeof(T) >= stream_from;
  return for_each_chunk(units, call.threads, interrupt, [&](std::size_t unit, int) {
    alignas(simd::group_bytes) T through[wide];
    Joined<T> joined;
    const std::size_t j0 = unit % across * wide, count = std::min(wide, call.columns - j0);
    for (std::size_t i = unit / across * tall; i < std::min(call.rows, (unit / across + 1) * tall); ++i) {
      const Box<V> row{V::all(a.column(0)[i]), V::all(a.column(1)[i]), V::all(a.column(2)[i]), V::all(a.column(3)[i])};
      T* const there = call.out.side_by_side<T>(i * call.columns + j0, count);
      T* const to = there ? there : through;
      const auto score = [&](std::size_t j, auto lanes) PYLOSS_INLINE_LAMBDA { return loss(row, b.load(j0 + j, lanes)).score; };
      if (there && large) {
        simd::for_each_aligned_pack(to, 0, count,
                                    [&](std::size_t j, auto lanes) PYLOSS_INLINE_LAMBDA { lanes.stream(to + j, score(j, lanes)); });
      } else {
        simd::for_each_pack<T>(count, [&](std::size_t j, auto, auto lanes) PYLOSS_INLINE_LAMBDA { lanes.store(to + j, score(j, lanes)); });
      }
      if (!there) call.out.write(i * call.columns + j0, count, through, large ? &joined : nullptr);
    }
    joined.finish();
  });
}

}  // namespace

std::span<const Signature> box_losses() { return signatures(OfBoxes{}); }

bool run_boxes(const BoxCall& call, Interrupt& interrupt, double& total) {
  return with_named(call.kind, OfBoxes{}, [&]<class Loss>() {
    return call.grad ? run<Loss, true>(call, interrupt, total) : run<Loss, false>(call, interrupt, total);
  });
}

bool run_box_matrix(const BoxMatrixCall& call, Interrupt& interrupt) {
  return with_named(call.kind, OfBoxes{}, [&]<class Loss>() {
    return call.float64 ? run_matrix<double, Loss>(call, interrupt) : run_matrix<float, Loss>(call, interrupt);
  });
}

}  // namespace pyloss
