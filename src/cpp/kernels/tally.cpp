#include "tally.hpp"

#include <algorithm>
#include <cstring>

#include "blocks.hpp"
#include "buffer.hpp"

namespace pyloss {

namespace {

using simd::Pack;

/// Rows that pass through scratch at a time: as many as stay in the first-level cache beside the cells.
constexpr std::size_t block_rows = 256;
/// Neighbouring rows go to different copies of few cells, so that no addition waits for the one before it.
constexpr std::size_t copies_of_few = 4, few_cells = 256;

/// Adds x to a sum and to what the sum lacks: Knuth's two-sum.
template <class V>
PYLOSS_INLINE void add_to(V& sum, V& lack, V x) {
  const V total = sum + x, part = total - sum;
  lack += (sum - (total - part)) + (x - part);
  sum = total;
}

PYLOSS_INLINE void add_panel(double* sum, double* lack, const double* x) {
  using Few = simd::FewDoubles;
  static_assert(panel % (sizeof(Few) / sizeof(double)) == 0);
  for (std::size_t k = 0; k < panel; k += sizeof(Few) / sizeof(double)) {
    Few sums, lacks, added;
    std::memcpy(&sums, sum + k, sizeof sums);
    std::memcpy(&lacks, lack + k, sizeof lacks);
    std::memcpy(&added, x + k, sizeof added);
    add_to(sums, lacks, added);
    std::memcpy(sum + k, &sums, sizeof sums);
    std::memcpy(lack + k, &lacks, sizeof lacks);
  }
}

/// A sum and what it lacks, in lanes that are merged at the end.
class LaneSums {
  using D = Pack<double>;
  static constexpr std::size_t lanes = simd::group<float>;

 public:
  /// Of float32, the numbers of eight groups are added up first: exactly, unless one is less than 2^-26 of another, and with an error of
  /// float64's then.
  template <class T>
  void add(const T* column, std::size_t count) {
    constexpr std::size_t packs = simd::group<T> / D::lanes, few = sizeof(T) == 4 ? 8 : 1;
    D sums[packs], lacks[packs];  // copies, which stay in registers
    for (std::size_t k = 0; k < packs; ++k) sums[k] = D::load(sum_ + k * D::lanes), lacks[k] = D::load(lack_ + k * D::lanes);
    const auto add_few = [&](const T* from, std::size_t groups) PYLOSS_INLINE_LAMBDA {
      D parts[packs];
      for (D& part : parts) part = 0.0;
      for (std::size_t group = 0; group < groups; ++group) add_group(from + group * simd::group<T>, parts);
      for (std::size_t k = 0; k < packs; ++k) add_to(sums[k], lacks[k], parts[k]);
    };
    std::size_t i = 0;
    for (; i + few * simd::group<T> <= count; i += few * simd::group<T>) add_few(column + i, few);
    for (; i + simd::group<T> <= count; i += simd::group<T>) add_few(column + i, 1);
    if (i < count) {
      alignas(simd::group_bytes) T rest[simd::group<T>] = {};
      std::copy(column + i, column + count, rest);
      add_few(rest, 1);
    }
    for (std::size_t k = 0; k < packs; ++k) sums[k].store(sum_ + k * D::lanes), lacks[k].store(lack_ + k * D::lanes);
  }

  void merge(double& sum, double& lack) const {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      add_to(sum, lack, sum_[lane]);
      lack += lack_[lane];
    }
  }

 private:
  template <class T, std::size_t packs>
  static PYLOSS_INLINE void add_group(const T* from, D (&parts)[packs]) {
    constexpr std::size_t of_pack = Pack<T>::lanes / D::lanes;
    for (std::size_t k = 0; k < packs; k += of_pack) {
      const Pack<T> a = Pack<T>::load(from + k * D::lanes);
      if constexpr (sizeof(T) == 8) {
        parts[k] += a;
      } else {
        parts[k] += D(simd::widen_low(a.v));
        parts[k + 1] += D(simd::widen_high(a.v));
      }
    }
  }

  alignas(simd::group_bytes) double sum_[lanes] = {}, lack_[lanes] = {};
};

class OfViews final : public Columns {
 public:
  explicit OfViews(const std::vector<View>& views) : views_(views), scratch_(views.size() * block_elements), at_(views.size()) {}

  void read(std::size_t begin, std::size_t count) override {
    for (std::size_t c = 0; c < views_.size(); ++c) {
      const float* const floats = views_[c].side_by_side<float>(begin, count);
      at_[c] = {floats, floats ? nullptr : block_of(views_[c], begin, count, scratch_.data() + c * block_elements)};
    }
  }
  Numbers column(std::size_t c) const override { return at_[c]; }

 private:
  const std::vector<View>& views_;
  Buffer<double> scratch_;
  std::vector<Numbers> at_;
};

/// What one thread needs to read rows, and the sums of a chunk of them: of the columns, of the weights if there are any, and of rows.
class Chunk {
 public:
  /// `complete` sums are laid out as the caller's.
  Chunk(const TallyCall& call, bool complete)
      : call_(call),
        columns_(call.column_count),
        sums_(columns_ + (call.weight || complete ? 2 : 1)),
        apart_(divide_up(sums_, panel) * panel),
        numbers_(call.columns()),
        weight_(block_elements),
        column_(block_elements),
        panel_(block_rows * panel),
        rows_(block_rows * panel),
        lanes_(call.groups ? 0 : sums_) {}

  std::size_t cell_size() const { return 2 * apart_; }

  /// False if a row has no cell.
  bool read_cells(std::size_t begin, std::size_t count) {
    call_.groups.read(begin, count, cell_);
    const std::span<const std::int64_t> cells = call_.cells;
    const auto least = static_cast<std::uint64_t>(call_.least), known = static_cast<std::uint64_t>(call_.cell_count);
    // Left at the first bad one: a loop that runs to the end becomes one of gathers, which take longer than loads.
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t group = static_cast<std::uint64_t>(cell_[i]) - least;
      if (group >= cells.size() || static_cast<std::uint64_t>(cells[group]) >= known) return false;
      cell_[i] = cells[group];
    }
    return true;
  }

  /// Adds the rows [begin, begin + count), a block, to `sums`, of which there are `copies`. False if a row has no cell.
  bool add(std::size_t begin, std::size_t count, double* sums, std::size_t copies) {
    if (call_.groups && !read_cells(begin, count)) return false;
    numbers_->read(begin, count);
    weigh_ = call_.weight ? block_of(call_.weight, begin, count, weight_.data()) : nullptr;
    if (!call_.groups) {
      add_all(count);
      return true;
    }
    for (std::size_t first = 0; first < count; first += block_rows) {
      const std::size_t size = std::min(block_rows, count - first);
      for (std::size_t i = 0; i < sums_; i += panel) {
        for (std::size_t c = 0; c < panel; ++c) put(i + c, first, size, panel_.data() + c * block_rows);
        add_rows(cell_ + first, size, sums + i, copies);
      }
    }
    return true;
  }

  /// After the last block: what is not in `sums` yet, where there are no groups.
  void finish(double* sums) const {
    for (std::size_t c = 0; c < lanes_.size(); ++c) lanes_[c].merge(sums[c], sums[apart_ + c]);
    if (!call_.groups && !call_.weight) sums[columns_] += static_cast<double>(rows_added_);
  }

  /// Adds the sums of a cell to those of the caller, who has one of the weights in any case.
  void merge(const double* from, double* to) const {
    const std::size_t apart = pyloss::cell_size(columns_) / 2;
    const auto add = [&](std::size_t source, std::size_t target) {
      add_to(to[target], to[apart + target], from[source]);
      to[apart + target] += from[apart_ + source];
    };
    for (std::size_t c = 0; c < sums_; ++c) add(c, c);
    if (!call_.weight) add(columns_, columns_ + 1);
  }

 private:
  void add_all(std::size_t count) {
    rows_added_ += count;
    for (std::size_t c = 0; c < sums_; ++c) {
      const Columns::Numbers numbers = weigh_ || c >= columns_ ? Columns::Numbers{} : numbers_->column(c);
      if (!weigh_ && c == columns_) continue;
      if (numbers.floats) {
        lanes_[c].add(numbers.floats, count);
      } else if (numbers.doubles) {
        lanes_[c].add(numbers.doubles, count);
      } else {
        put(c, 0, count, column_.data());
        lanes_[c].add(column_.data(), count);
      }
    }
  }

  /// Puts side by side what is summed in column c of the sums, of rows of the block; 0 behind the last.
  void put(std::size_t c, std::size_t first, std::size_t count, double* to) const {
    const double* const weight = weigh_ ? weigh_ + first : nullptr;  // a local copy: the stores below cannot change it
    if (c >= sums_) {
      std::fill_n(to, count, 0.0);
      return;
    }
    if (c >= columns_) {
      if (!weight) {
        std::fill_n(to, count, 1.0);
      } else if (c + 1 < sums_) {
        std::copy_n(weight, count, to);
      } else {
        for (std::size_t i = 0; i < count; ++i) to[i] = weight[i] == 0.0 ? 0.0 : 1.0;
      }
      return;
    }
    const auto weighted = [&](auto number) PYLOSS_INLINE_LAMBDA {
      if (weight) {
        for (std::size_t i = 0; i < count; ++i) to[i] = weight[i] == 0.0 ? 0.0 : weight[i] * number(i);
      } else {
        for (std::size_t i = 0; i < count; ++i) to[i] = number(i);
      }
    };
    const auto [floats, doubles] = numbers_->column(c);
    if (floats) {
      weighted([at = floats + first](std::size_t i) { return static_cast<double>(at[i]); });
    } else {
      weighted([at = doubles + first](std::size_t i) { return at[i]; });
    }
  }

  /// Adds a panel of columns, row by row.
  void add_rows(const std::int64_t* cell, std::size_t count, double* sums, std::size_t copies) {
    const std::size_t apart = apart_, cells = call_.cell_count;
    double* const __restrict rows = rows_.data();
    const double* const __restrict columns = panel_.data();
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t c = 0; c < panel; ++c) rows[i * panel + c] = columns[c * block_rows + i];
    }
    for (std::size_t i = 0; i < count; ++i) {
      double* const to = sums + ((i & (copies - 1)) * cells + static_cast<std::size_t>(cell[i])) * 2 * apart;
      add_panel(to, to + apart, rows + i * panel);
    }
  }

  const TallyCall& call_;
  std::size_t columns_, sums_, apart_;
  std::unique_ptr<Columns> numbers_;
  Buffer<double> weight_, column_, panel_, rows_;
  std::vector<LaneSums> lanes_;
  std::size_t rows_added_ = 0;
  const double* weigh_ = nullptr;
  std::int64_t cell_[block_elements];
};

}  // namespace

std::unique_ptr<Columns> columns_of(const std::vector<View>& views) { return std::make_unique<OfViews>(views); }

Tallied tally(const TallyCall& call, Interrupt& interrupt, std::span<double> sums) {
  const std::size_t size = call.rows, caller_size = cell_size(call.column_count);
  const std::size_t copies = call.groups && call.cell_count <= few_cells ? copies_of_few : 1;
  // The sums of all chunks take no longer to clear than the rows to read.
  const std::size_t chunk_size = divide_up(std::max(chunk_elements, 16 * call.cell_count), block_elements) * block_elements;
  if (call.groups && call.cell_count > size) {
    // To clear and to merge sums of their own would cost more than to look before.
    Chunk rows(call, true);
    bool good = true;
    for_each_block(0, size, [&](std::size_t begin, std::size_t count) { good = good && rows.read_cells(begin, count); });
    if (!good) return Tallied::no_such_cell;
    for_each_block(0, size, [&](std::size_t begin, std::size_t count) { rows.add(begin, count, sums.data(), 1); });
    return Tallied::all;
  }
  const Chunk merger(call, false);
  const std::size_t chunks = divide_up(size, chunk_size), of_chunk = copies * call.cell_count * merger.cell_size();
  std::vector<double> partial(chunks * of_chunk);
  std::vector<char> bad(chunks);
  const bool done = for_each_chunk(chunks, call.threads, interrupt, [&](std::size_t chunk, int thread) {
    Chunk rows(call, false);
    for_each_block(chunk * chunk_size, std::min((chunk + 1) * chunk_size, size), [&](std::size_t begin, std::size_t count) {
      if (stopped(interrupt, thread) || bad[chunk]) return;
      bad[chunk] = !rows.add(begin, count, partial.data() + chunk * of_chunk, copies);
    });
    rows.finish(partial.data() + chunk * of_chunk);
  });
  if (!done) return Tallied::interrupted;
  if (std::find(bad.begin(), bad.end(), 1) != bad.end()) return Tallied::no_such_cell;
  for (std::size_t part = 0; part < chunks * copies; ++part) {
    for (std::size_t cell = 0; cell < call.cell_count; ++cell) {
      merger.merge(partial.data() + (part * call.cell_count + cell) * merger.cell_size(), sums.data() + cell * caller_size);
    }
  }
  return Tallied::all;
}

void merge_tallies(std::span<const double> from, std::span<const std::size_t> to, std::size_t columns, std::span<double> sums) {
  const std::size_t size = cell_size(columns), apart = size / 2;
  for (std::size_t i = 0; i < to.size(); ++i) {
    const double* const source = from.data() + i * size;
    double* const target = sums.data() + to[i] * size;
    for (std::size_t c = 0; c < apart; ++c) {
      const double lack = source[apart + c];  // read first: the sums may be merged with themselves
      add_to(target[c], target[apart + c], source[c]);
      target[apart + c] += lack;
    }
  }
}

}  // namespace pyloss
