#include "lovasz.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "../losses/registry.hpp"
#include "buffer.hpp"

namespace pyloss {

namespace {

/// Elements that one thread takes at a time, and those that pass through scratch, whatever the number of threads.
constexpr std::size_t chunk_size = 16384, block_size = 1024;

/// A sample of no more elements (of all classes) is one thread's.
constexpr std::size_t small_sample = 65536;

/// An error and whose it is. Smaller keys are larger errors; the top bit of `element` is set for a positive.
template <class T>
struct Entry {
  using Word = std::make_unsigned_t<simd::IntegerOf<T>>;
  static constexpr Word positive = Word{1} << (8 * sizeof(Word) - 1);
  Word key, element;

  static Word key_of(T error) { return ~std::bit_cast<Word>(error); }
  T error() const { return std::bit_cast<T>(static_cast<Word>(~key)); }
  std::size_t index() const { return element & ~positive; }
};

/// Walks chunks of one mask, on one thread or on several.
class Walk {
 public:
  Walk(int threads, Interrupt* interrupt) : threads_(threads), interrupt_(interrupt) {}

  /// False if interrupted.
  template <class Work>
  bool operator()(std::size_t chunks, Work&& work) const {
    if (interrupt_) return for_each_chunk(chunks, threads_, *interrupt_, [&](std::size_t chunk, int) { work(chunk); });
    for (std::size_t chunk = 0; chunk < chunks; ++chunk) work(chunk);
    return true;
  }

 private:
  int threads_;
  Interrupt* interrupt_;  // null within one chunk of another walk
};

/// Calls use(begin, end) for a chunk of `size`.
template <class Use>
void for_range(std::size_t chunk, std::size_t size, Use&& use) {
  use(chunk * chunk_size, std::min(size, (chunk + 1) * chunk_size));
}

/// What the chunks of a mask count.
struct Counts {
  std::size_t kept = 0, positives = 0;
  bool nan = false;
};

/// Memory for one mask at a time.
template <class T>
class Mask {
 public:
  explicit Mask(std::size_t elements)
      : elements_(elements),
        entries_(std::make_unique_for_overwrite<Entry<T>[]>(elements)),
        other_(std::make_unique_for_overwrite<Entry<T>[]>(elements)),
        slopes_(elements),
        counts_(divide_up(elements, chunk_size)),
        digits_(counts_.size() * radix) {}

  /// The loss of elements [first, first + size) of the views, its slopes kept; false if interrupted. `label` is the positives' target.
  template <class Loss>
  bool evaluate(const Loss& loss, const LovaszCall& call, std::size_t first, std::size_t label, const Walk& walk, double& value) {
    const std::size_t size = call.elements, chunks = counts_.size();
    if (!walk(chunks, [&](std::size_t chunk) {
          for_range(chunk, size,
                    [&](std::size_t begin, std::size_t end) { counts_[chunk] = collect(loss, call, first, label, begin, end); });
        }))
      return false;
    std::size_t kept = 0, positives = 0;
    bool nan = false;
    for (const Counts& each : counts_) kept += each.kept, positives += each.positives, nan = nan || each.nan;
    if (nan) {
      value = std::numeric_limits<double>::quiet_NaN();
      return fill(std::numeric_limits<T>::quiet_NaN(), walk);
    }
    return sort(kept, walk) && add_steps(kept, static_cast<double>(positives), walk, value);
  }

  /// Makes all slopes the same.
  bool fill(T slope, const Walk& walk) {
    return walk(counts_.size(), [&](std::size_t chunk) {
      for_range(chunk, elements_,
                [&](std::size_t begin, std::size_t end) { std::fill(slopes_.data() + begin, slopes_.data() + end, slope); });
    });
  }

  /// Writes the gradient of the mask last evaluated.
  bool write_gradient(const View& grad, std::size_t first, double scale, const Walk& walk) {
    const bool large = grad.size() * sizeof(T) >= stream_from;
    return walk(counts_.size(), [&](std::size_t chunk) {
      Joined<T> joined;
      for_range(chunk, elements_, [&](std::size_t begin, std::size_t end) {
        T* const slopes = slopes_.data();
        for (std::size_t i = begin; i < end; ++i) slopes[i] = static_cast<T>(static_cast<double>(slopes[i]) * scale);
        grad.write(first + begin, end - begin, slopes + begin, large ? &joined : nullptr);
      });
      joined.finish();
    });
  }

 private:
  static constexpr std::size_t bits = 11, radix = std::size_t{1} << bits;
  using Word = typename Entry<T>::Word;

  /// The entries of errors above 0 of a chunk, from its own place on; its slopes become 0.
  template <class Loss>
  Counts collect(const Loss& loss, const LovaszCall& call, std::size_t first, std::size_t label, std::size_t begin, std::size_t end) {
    using V = simd::Pack<T>;
    alignas(simd::group_bytes) T pred_block[block_size], target_block[block_size], errors[block_size];
    std::int64_t labels[block_size];
    Counts counts;
    Entry<T>* to = entries_.get() + begin;
    std::fill(slopes_.data() + begin, slopes_.data() + end, T{0});
    for (; begin < end; begin += block_size) {
      const std::size_t count = std::min(block_size, end - begin);
      const T* pred = call.pred.side_by_side<T>(first + begin, count);
      if (!pred) call.pred.read(first + begin, count, pred_block), pred = pred_block;
      if (call.labels) {
        call.target.read(first + begin, count, labels);
        for (std::size_t i = 0; i < count; ++i) target_block[i] = static_cast<T>(labels[i] == static_cast<std::int64_t>(label));
      } else {
        call.target.read(first + begin, count, target_block);
        for (std::size_t i = 0; i < count; ++i) target_block[i] = static_cast<T>(target_block[i] > T{0.5});
      }
      V unordered = 0.0;
      simd::for_each_pack<T>(count, [&](std::size_t i, auto, auto lanes) PYLOSS_INLINE_LAMBDA {
        const V error = loss(lanes.load(pred + i), lanes.load(target_block + i));
        unordered = select(error == error, unordered, 1.0);
        lanes.store(errors + i, error);
      });
      for (std::size_t i = 0; i < V::lanes; ++i) counts.nan = counts.nan || unordered.v[i] != T{0};
      // Without a branch: which errors are above 0 is hard to guess.
      for (std::size_t i = 0; i < count; ++i) {
        const bool positive = target_block[i] != T{0};
        *to = {Entry<T>::key_of(errors[i]), static_cast<Word>(begin + i) | (positive ? Entry<T>::positive : Word{0})};
        counts.positives += positive;
        const bool keep = errors[i] > T{0};
        counts.kept += keep, to += keep;
      }
    }
    return counts;
  }

  /// Sorts the entries of all chunks, by keys alone: radix sort keeps the order of equals, so that ties go by their index.
  bool sort(std::size_t kept, const Walk& walk) {
    const std::size_t chunks = counts_.size();
    if (kept <= 512 && chunks == 1) {
      std::sort(entries_.get(), entries_.get() + kept,
                [](const Entry<T>& a, const Entry<T>& b) { return a.key != b.key ? a.key < b.key : a.index() < b.index(); });
      return true;
    }
    std::vector<std::size_t> sizes(chunks);
    for (std::size_t chunk = 0; chunk < chunks; ++chunk) sizes[chunk] = counts_[chunk].kept;
    bool moved = chunks == 1;
    for (std::size_t shift = 0; shift < 8 * sizeof(Word); shift += bits) {
      const auto digit = [shift](const Entry<T>& entry) { return (entry.key >> shift) & (radix - 1); };
      if (!walk(chunks, [&](std::size_t chunk) {
            std::size_t* const digits = digits_.data() + chunk * radix;
            std::fill_n(digits, radix, 0);
            const Entry<T>* const from = entries_.get() + chunk * chunk_size;
            for (std::size_t i = 0; i < sizes[chunk]; ++i) ++digits[digit(from[i])];
          }))
        return false;
      std::size_t before = 0;
      bool together = false;
      for (std::size_t d = 0; d < radix; ++d) {
        const std::size_t start = before;
        for (std::size_t chunk = 0; chunk < chunks; ++chunk) before += std::exchange(digits_[chunk * radix + d], before);
        together = together || (before - start == kept && kept > 0);
      }
      // All in one place: nothing would move, unless the chunks are still apart.
      if ((together && moved) || kept == 0) continue;
      if (!walk(chunks, [&](std::size_t chunk) {
            std::size_t* const places = digits_.data() + chunk * radix;
            const Entry<T>* const from = entries_.get() + chunk * chunk_size;
            for (std::size_t i = 0; i < sizes[chunk]; ++i) other_.get()[places[digit(from[i])]++] = from[i];
          }))
        return false;
      std::swap(entries_, other_);
      for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
        const std::size_t begin = std::min(kept, chunk * chunk_size);
        sizes[chunk] = std::min(kept, begin + chunk_size) - begin;
      }
      moved = true;
    }
    return true;
  }

  /// The steps of the Jaccard loss along the sorted entries.
  bool add_steps(std::size_t kept, double positives, const Walk& walk, double& value) {
    constexpr std::size_t few = 128;
    const std::size_t chunks = divide_up(kept, chunk_size);
    std::vector<std::size_t> wrong(chunks);
    if (!walk(chunks, [&](std::size_t chunk) {
          for_range(chunk, kept, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) wrong[chunk] += (entries_.get()[i].element & Entry<T>::positive) != 0;
          });
        }))
      return false;
    std::exclusive_scan(wrong.begin(), wrong.end(), wrong.begin(), std::size_t{0});
    std::vector<double> sums(chunks);
    if (!walk(chunks, [&](std::size_t chunk) {
          for_range(chunk, kept, [&](std::size_t begin, std::size_t end) {
            double wrong_positives = static_cast<double>(wrong[chunk]), sum = 0.0;
            // By short sums, which round less.
            for (; begin < end; begin += few) {
              double part = 0.0;
              for (std::size_t i = begin; i < std::min(end, begin + few); ++i) {
                const Entry<T> entry = entries_.get()[i];
                const bool positive = (entry.element & Entry<T>::positive) != 0;
                const double step = jaccard_step(positives, wrong_positives, static_cast<double>(i) - wrong_positives, positive);
                wrong_positives += positive;
                if (step == 0.0) continue;
                part += static_cast<double>(entry.error()) * step;
                slopes_.data()[entry.index()] = static_cast<T>(positive ? -step : step);
              }
              sum += part;
            }
            sums[chunk] = sum;
          });
        }))
      return false;
    value = std::accumulate(sums.begin(), sums.end(), 0.0);
    return true;
  }

  std::size_t elements_;
  std::unique_ptr<Entry<T>[]> entries_, other_;
  Buffer<T> slopes_;
  std::vector<Counts> counts_;
  std::vector<std::size_t> digits_;
};

/// One sample; false if interrupted.
template <class T, class Loss>
bool run_sample(const LovaszCall& call, std::size_t sample, double weight, Mask<T>& mask, const Walk& walk, double& value) {
  const std::size_t size = call.elements, start = sample * call.classes * size;
  value = 0.0;
  std::vector<char> present(call.classes, 1);
  if (call.labels && weight != 0.0) {
    const std::size_t chunks = divide_up(size, chunk_size);
    std::vector<char> seen(chunks * call.classes);
    const auto look = [&](std::size_t chunk, std::size_t begin, std::size_t end) {
      std::int64_t labels[block_size];
      for (; begin < end; begin += block_size) {
        const std::size_t count = std::min(block_size, end - begin);
        call.target.read(start + begin, count, labels);
        for (std::size_t i = 0; i < count; ++i) seen[chunk * call.classes + static_cast<std::size_t>(labels[i])] = 1;
      }
    };
    if (!walk(chunks,
              [&](std::size_t chunk) { for_range(chunk, size, [&](std::size_t begin, std::size_t end) { look(chunk, begin, end); }); }))
      return false;
    for (std::size_t c = 0; c < call.classes; ++c) {
      present[c] = 0;
      for (std::size_t chunk = 0; chunk < chunks; ++chunk) present[c] |= seen[chunk * call.classes + c];
    }
  }
  const auto classes = static_cast<double>(std::count(present.begin(), present.end(), 1));
  for (std::size_t c = 0; c < call.classes; ++c) {
    const std::size_t first = start + c * size;
    const bool counts = weight != 0.0 && present[c];
    double part = 0.0;
    if (counts) {
      if (!mask.evaluate(Loss{}, call, first, c, walk, part)) return false;
      value += part / classes;
    } else if (call.grad && !mask.fill(T{0}, walk)) {
      return false;
    }
    if (call.grad && !mask.write_gradient(call.grad, first, counts ? weight * call.scale / classes : 1.0, walk)) return false;
  }
  return true;
}

template <class T, class Loss>
bool run(const LovaszCall& call, Interrupt& interrupt, double& total) {
  // Before anything is written: results may go where the weights are.
  std::vector<double> weights(call.samples, 1.0), values(call.samples);
  if (call.weight) call.weight.read(0, call.samples, weights.data());
  bool done = true;
  if (call.elements * call.classes <= small_sample) {
    const std::size_t each = std::max<std::size_t>(1, chunk_size / std::max<std::size_t>(1, call.elements * call.classes));
    const std::size_t units = divide_up(call.samples, each);
    std::vector<Mask<T>> masks;
    for (std::size_t i = 0; i < std::clamp<std::size_t>(units, 1, static_cast<std::size_t>(std::max(call.threads, 1))); ++i)
      masks.emplace_back(call.elements);
    done = for_each_chunk(units, static_cast<int>(masks.size()), interrupt, [&](std::size_t unit, int thread) {
      for (std::size_t n = unit * each; n < std::min(call.samples, (unit + 1) * each); ++n)
        run_sample<T, Loss>(call, n, weights[n], masks[static_cast<std::size_t>(thread)], Walk(1, nullptr), values[n]);
    });
  } else {
    Mask<T> mask(call.elements);
    const Walk walk(call.threads, &interrupt);
    for (std::size_t n = 0; n < call.samples && done; ++n) done = run_sample<T, Loss>(call, n, weights[n], mask, walk, values[n]);
  }
  if (!done) return false;
  for (std::size_t n = 0; n < call.samples; ++n) {
    if (weights[n] == 0.0) values[n] = 0.0;
    values[n] *= weights[n];
    total += values[n];
    values[n] *= call.scale;
  }
  if (call.value) call.value.write(0, call.samples, values.data());
  return true;
}

}  // namespace

std::span<const Signature> lovasz_losses() { return signatures(OfSortedErrors{}); }

bool run_lovasz(const LovaszCall& call, Interrupt& interrupt, double& total) {
  // The index of an element and a bit must fit beside its error.
  const bool wide = call.float64 || call.elements >= std::size_t{1} << 31;
  return with_named(call.loss, OfSortedErrors{}, [&]<class Loss>() {
    return wide ? run<double, Loss>(call, interrupt, total) : run<float, Loss>(call, interrupt, total);
  });
}

}  // namespace pyloss
