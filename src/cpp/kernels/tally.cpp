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

/// A sum and what it lacks, each lane its own. Of float32, the numbers of `few` groups are added up first: exactly, unless one is less than
/// 2^-27 of another, and with an error of float64's then.
template <class T>
class LaneSums {
 public:
  static constexpr std::size_t few = sizeof(T) == 4 ? 4 : 1;

  LaneSums() {
    for (auto& a : sums_) a = 0.0;
    for (auto& a : lacks_) a = 0.0;
    for (auto& a : few_) a = 0.0;
  }

  /// `i` is the index of the first element of the pack.
  template <std::size_t Place>
  PYLOSS_INLINE void add(std::size_t i, std::integral_constant<std::size_t, Place>, Pack<T> a) {
    if constexpr (sizeof(T) == 8) {
      add_to(sums_[Place], lacks_[Place], a);
    } else {
      few_[2 * Place] += Pack<double>(simd::widen_low(a.v));
      few_[2 * Place + 1] += Pack<double>(simd::widen_high(a.v));
      if (i / simd::group<T> % few != few - 1) return;
      flush(2 * Place);
      flush(2 * Place + 1);
    }
  }

  void merge(double& sum, double& lack) {
    for (std::size_t i = 0; i < packs; ++i) {
      flush(i);
      for (std::size_t lane = 0; lane < Pack<double>::lanes; ++lane) {
        add_to(sum, lack, sums_[i].v[lane]);
        lack += lacks_[i].v[lane];
      }
    }
  }

 private:
  static constexpr std::size_t packs = simd::group<T> / Pack<double>::lanes;

  PYLOSS_INLINE void flush(std::size_t i) {
    add_to(sums_[i], lacks_[i], few_[i]);
    few_[i] = 0.0;
  }

  Pack<double> sums_[packs], lacks_[packs], few_[packs];
};

template <class T>
void add_column(const T* column, std::size_t count, double& sum, double& lack) {
  LaneSums<T> sums;
  simd::for_each_pack<T>(count, [&](std::size_t i, auto place, auto lanes)
                                    PYLOSS_INLINE_LAMBDA { sums.add(i, place, lanes.or_zero(lanes.load(column + i))); });
  sums.merge(sum, lack);
}

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
        rows_(block_rows * panel) {}

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
      add_all(count, sums);
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
  void add_all(std::size_t count, double* sums) {
    for (std::size_t c = 0; c < sums_; ++c) {
      double &sum = sums[c], &lack = sums[apart_ + c];
      const Columns::Numbers numbers = weigh_ || c >= columns_ ? Columns::Numbers{} : numbers_->column(c);
      if (!weigh_ && c == columns_) {
        sum += static_cast<double>(count);
      } else if (numbers.floats) {
        add_column(numbers.floats, count, sum, lack);
      } else if (numbers.doubles) {
        add_column(numbers.doubles, count, sum, lack);
      } else {
        put(c, 0, count, column_.data());
        add_column(column_.data(), count, sum, lack);
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
