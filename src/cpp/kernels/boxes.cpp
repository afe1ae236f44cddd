#include "boxes.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "../losses/registry.hpp"
#include "buffer.hpp"
#include "outgoing.hpp"

namespace pyloss {

namespace {

/// Boxes that pass through scratch at a time: those that come next, which are asked for meanwhile, find place beside them in the first
/// cache.
template <class T>
constexpr std::size_t block_size = 1024 / sizeof(T);
/// Boxes that one thread takes at a time, whatever the number of threads.
constexpr std::size_t chunk_size = 8192;

/// Four columns, a coordinate of some boxes each, `stride` apart.
template <class T>
struct Columns {
  T* first;
  std::size_t stride;

  PYLOSS_INLINE T* column(std::size_t i) const { return first + i * stride; }

  template <class V>
  PYLOSS_INLINE Box<V> load(std::size_t i) const {
    Box<V> box;
    simd::load_as(column(0) + i, box.x1), simd::load_as(column(1) + i, box.y1);
    simd::load_as(column(2) + i, box.x2), simd::load_as(column(3) + i, box.y2);
    return box;
  }
  template <class Lanes>
  PYLOSS_INLINE Box<simd::Pack<T>> load(std::size_t i, Lanes lanes) const {
    return {lanes.load(column(0) + i), lanes.load(column(1) + i), lanes.load(column(2) + i), lanes.load(column(3) + i)};
  }
  template <class V>
  PYLOSS_INLINE void store(std::size_t i, const Box<V>& box) const {
    simd::store_as(column(0) + i, box.x1), simd::store_as(column(1) + i, box.y1);
    simd::store_as(column(2) + i, box.x2), simd::store_as(column(3) + i, box.y2);
  }
};

/// Boxes coordinate by coordinate, as the formulas read them.
template <class T>
class Boxes {
 public:
  explicit Boxes(std::size_t size) : stride_(divide_up(size, simd::group<T>) * simd::group<T>), data_(4 * stride_) {}

  Columns<T> columns() const { return {data_.data(), stride_}; }

 private:
  std::size_t stride_;
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
void take_apart(const T* from, std::size_t count, Columns<T> to) {
  T *const x1 = to.column(0), *const y1 = to.column(1), *const x2 = to.column(2), *const y2 = to.column(3);
  PYLOSS_INDEPENDENT
  for (std::size_t i = 0; i < count; ++i) x1[i] = from[4 * i], y1[i] = from[4 * i + 1], x2[i] = from[4 * i + 2], y2[i] = from[4 * i + 3];
}

/// Four columns as boxes side by side.
template <class T>
void put_together(Columns<T> from, std::size_t count, T* to) {
  const T *const x1 = from.column(0), *const y1 = from.column(1), *const x2 = from.column(2), *const y2 = from.column(3);
  PYLOSS_INDEPENDENT
  for (std::size_t i = 0; i < count; ++i) to[4 * i] = x1[i], to[4 * i + 1] = y1[i], to[4 * i + 2] = x2[i], to[4 * i + 3] = y2[i];
}

/// What one thread needs of its own, in columns of T.
template <class T>
struct Scratch {
  static constexpr std::size_t block = block_size<T>;

  Buffer<T> coordinates{12 * block}, rows{4 * block}, leaving{4 * block};
  Buffer<double> weight{block}, value{block};
  Outgoing<T> outgoing;

  /// Of pred, target and the slopes; a stride that the compiler knows, so that each takes one register of the loop.
  Columns<T> columns(std::size_t i) const { return {coordinates.data() + i * 4 * block, block}; }

  /// Reads boxes [begin, begin + count). Returns where they lie if that is as T side by side, otherwise null.
  const T* read(const View& view, std::size_t begin, std::size_t count, Columns<T> to) {
    const T* const there = view.side_by_side<T>(4 * begin, 4 * count);
    if (!there) view.read(4 * begin, 4 * count, rows.data());
    take_apart(there ? there : rows.data(), count, to);
    return there;
  }

  /// Large results of T that lie side by side leave while the next ones are computed.
  void write(const View& view, std::size_t begin, std::size_t count, Columns<T> from, bool large) {
    T* const there = view.side_by_side<T>(4 * begin, 4 * count);
    put_together(from, count, there && !large ? there : rows.data());
    if (!there) return view.write(4 * begin, 4 * count, rows.data());
    if (!large) return;
    outgoing.start(there, rows.data(), 4 * count);
    std::swap(rows, leaving);
  }
};

/// Asks for the lines of some numbers.
template <std::size_t count, class T>
PYLOSS_INLINE void ask_for(const T* from) {
  for (std::size_t k = 0; k < count; k += simd::group<T>) __builtin_prefetch(from + k);
}

/// In float64, whatever the type of the boxes: no difference or area of float32 is rounded much or overflows, and memory is as slow.
/// Columns are of T, float where all boxes are of float32; `plain` boxes are corners.
template <class T, class Loss, bool Grad, bool plain>
bool run(const BoxCall& call, Interrupt& interrupt, double& total) {
  using V = simd::Pack<double>;
  const Loss loss{{call.eps}};
  const std::size_t chunks = divide_up(call.boxes, chunk_size);
  const bool large = Grad && 4 * call.boxes * sizeof(T) >= stream_from;
  const V scale = call.scale, downhill = -call.scale;
  std::vector<double> totals(chunks);
  std::vector<Scratch<T>> scratch(std::clamp<std::size_t>(chunks, 1, static_cast<std::size_t>(std::max(call.threads, 1))));
  const bool done = for_each_chunk(chunks, static_cast<int>(scratch.size()), interrupt, [&](std::size_t chunk, int thread) {
    Scratch<T>& own = scratch[static_cast<std::size_t>(thread)];
    const Columns<T> preds = own.columns(0), targets = own.columns(1), grads = own.columns(2);
    double *const weight = own.weight.data(), *const values = call.value ? own.value.data() : nullptr;
    alignas(simd::group_bytes) double sums[simd::Sum<double>::size] = {};
    const std::size_t end = std::min(call.boxes, (chunk + 1) * chunk_size);
    for (std::size_t begin = chunk * chunk_size; begin < end; begin += block_size<T>) {
      const std::size_t count = std::min(block_size<T>, end - begin), whole = divide_up(count, simd::group<double>) * simd::group<double>;
      const T* const pred = own.read(call.pred, begin, count, preds);
      const T* const target = own.read(call.target, begin, count, targets);
      if (call.weight) {
        call.weight.read(begin, count, weight);
      } else {
        std::fill_n(weight, count, 1.0);
      }
      std::fill_n(weight + count, whole - count, 0.0);  // of what are no boxes
      simd::Sum<double> sum(sums);
      Outgoing<T> leaving = own.outgoing;  // a local copy: the loop's stores cannot change it
      simd::for_each_pack<double, true>(whole, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
        constexpr std::size_t numbers = 4 * V::lanes;  // of a pack of boxes
        if (pred) ask_for<numbers>(pred + 4 * (block_size<T> + i));
        if (target) ask_for<numbers>(target + 4 * (block_size<T> + i));
        const BoxFormat format = plain ? BoxFormat::xyxy : call.format;
        const auto at = loss(corners(format, preds.template load<V>(i)), corners(format, targets.template load<V>(i)));
        const V w = lanes.load(weight + i);
        const auto excluded = w == 0.0;
        const V value = select(excluded, 0.0, w * (1.0 - at.score));
        sum.add(place, value);
        if (values) lanes.store(values + i, value * scale);
        if constexpr (Grad) {
          const V factor = w * downhill;
          const Box<V> slope = carried_back(format, at.slope);
          const auto scaled = [&](V each) PYLOSS_INLINE_LAMBDA { return select(excluded, 0.0, factor * each); };
          for (std::size_t k = 0; k < numbers; k += simd::Pack<T>::lanes) leaving.step();
          grads.store(i, Box<V>{scaled(slope.x1), scaled(slope.y1), scaled(slope.x2), scaled(slope.y2)});
        }
      });
      own.outgoing = leaving;
      sum.store(sums);
      if (values) call.value.write(begin, count, values);
      if constexpr (Grad) own.write(call.grad, begin, count, grads, large);
    }
    own.outgoing.finish();
    totals[chunk] = simd::Sum<double>::merge(sums);
  });
  for (const double each : totals) total += each;
  return done;
}

/// All boxes in columns of T, multiplied by `scale`; `largest` finds what to scale by.
template <class T>
Boxes<T> boxes_of(const View& view, std::size_t count, BoxFormat format, double scale, double* largest) {
  using V = simd::Pack<double>;
  Scratch<double> own;
  const Columns<double> corner = own.columns(0);
  Boxes<T> to(largest ? 0 : count);
  for (std::size_t begin = 0; begin < count; begin += block_size<double>) {
    const std::size_t some = std::min(block_size<double>, count - begin);
    own.read(view, begin, some, corner);
    for (std::size_t i = 0; i < some; i += V::lanes) corner.store(i, corners(format, corner.load<V>(i)));
    for (std::size_t k = 0; k < 4; ++k) {
      for (std::size_t i = 0; i < some; ++i) {
        const double at = corner.column(k)[i] * scale;
        if (!largest) {
          to.columns().column(k)[begin + i] = static_cast<T>(at);
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
  boxes_of<T>(call.a, call.rows, call.format, 1.0, &largest);
  boxes_of<T>(call.b, call.columns, call.format, 1.0, &largest);
  const double limit = sizeof(T) == 4 ? 0x1p20 : 0x1p200;
  const bool far = largest > limit || (largest > 0.0 && largest < 1.0 / limit);
  const double scale = far ? std::ldexp(1.0, -std::clamp(std::ilogb(largest), -1000, 1000)) : 1.0;
  const Boxes<T> all_a = boxes_of<T>(call.a, call.rows, call.format, scale, nullptr),
                 all_b = boxes_of<T>(call.b, call.columns, call.format, scale, nullptr);
  const Columns<T> a = all_a.columns(), b = all_b.columns();
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
      const auto score = [&](std::size_t j, auto lanes) PYLOSS_INLINE_LAMBDA { return loss.alone(row, b.load(j0 + j, lanes)); };
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
    const auto of_float = [](const View& view) { return !view || view.kind() == Kind::float32; };
    const bool narrow = of_float(call.pred) && of_float(call.target) && of_float(call.grad);
    const auto run_of = [&]<bool Grad>(std::bool_constant<Grad>) {
      if (!narrow) return run<double, Loss, Grad, false>(call, interrupt, total);
      if (call.format != BoxFormat::xyxy) return run<float, Loss, Grad, false>(call, interrupt, total);
      return run<float, Loss, Grad, true>(call, interrupt, total);
    };
    return call.grad ? run_of(std::true_type{}) : run_of(std::false_type{});
  });
}

bool run_box_matrix(const BoxMatrixCall& call, Interrupt& interrupt) {
  return with_named(call.kind, OfBoxes{}, [&]<class Loss>() {
    return call.float64 ? run_matrix<double, Loss>(call, interrupt) : run_matrix<float, Loss>(call, interrupt);
  });
}

}  // namespace pyloss
