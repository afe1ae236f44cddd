// Losses of a row that add up terms of its elements: the losses of the registry's RowwiseSums list.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "block.hpp"
#include "outgoing.hpp"

namespace pyloss {

/// Where the pass that adds up a row also puts its derivatives, if anywhere.
enum class Derive { later, in_place, outgoing };

/// Elements [begin, begin + size) of a row, or a whole tile of rows, of which class c of row i lies at c * tile_rows + i. `teacher` is null
/// for losses without one. `outgoing` is a row that leaves while this one is added up; null for tiles. `derive` is where add() puts
/// the derivatives, `grad` or `outgoing`; only losses that are local() can be asked for that.
template <class T>
struct RowBlock {
  const T* x;
  Input<T> target;
  const T* teacher;
  std::size_t begin, size;
  Outgoing<T>* outgoing = nullptr;
  Derive derive = Derive::later;
  T* grad = nullptr;
};

/// One loss at work on a row, block by block, or on a tile of rows, which is one block. In this order: start, lead, total, add, finish,
/// derive unless add() has done so.
template <class T>
class RowSums {
 public:
  static constexpr std::size_t tile_rows = simd::group<T>;

  /// What must be known of row i of a tile: its label, if any, with that target weight and score, and the scale of its derivatives.
  struct Start {
    std::int64_t label = -1;
    double on = 0.0, label_x = 0.0, scale = 0.0;
  };

  RowSums() = default;
  RowSums(const RowSums&) = delete;
  RowSums& operator=(const RowSums&) = delete;
  virtual ~RowSums() = default;

  virtual bool has_lead() const = 0;
  virtual bool has_totals() const = 0;
  virtual bool has_teacher() const = 0;
  /// Whether derivatives need nothing of the whole row, but to be NaN if it is spoilt().
  virtual bool local() const = 0;
  /// Whether of rows with a label no element but the label's is to be added.
  virtual bool label_alone() const = 0;

  /// From now on every row, or tile, is one block of so many elements, and derive() may follow: what add() computes is kept for it.
  virtual void keep(std::size_t elements) = 0;
  virtual void start_tile(std::span<const Start> rows, std::size_t classes, bool labels) = 0;
  virtual void start_row(const Start& row, std::size_t classes, bool labels) = 0;
  virtual void lead(const RowBlock<T>& block) = 0;
  virtual void finish_lead() = 0;
  /// What must be added up before anything can be: of a softmax, its denominator.
  virtual void total(const RowBlock<T>& block) = 0;
  virtual void finish_totals() = 0;
  virtual void add(const RowBlock<T>& block) = 0;
  /// Takes the place of add() for rows with a label.
  virtual void add_label() = 0;
  virtual void finish() = 0;
  virtual double value(std::size_t i) const = 0;
  /// Of a single row whose derivatives add() has put in their place: whether all must be NaN instead.
  virtual bool spoilt() const = 0;
  /// `hess` may be null.
  virtual void derive(const RowBlock<T>& block, T* grad, T* hess) const = 0;
};

struct RowSumsEntry {
  std::string_view name;
  std::size_t parameters;
  std::unique_ptr<RowSums<float>> (*of_float)(const double* parameters);
  std::unique_ptr<RowSums<double>> (*of_double)(const double* parameters);

  template <class T>
  std::unique_ptr<RowSums<T>> make(const double* values) const {
    if constexpr (sizeof(T) == 4) {
      return of_float(values);
    } else {
      return of_double(values);
    }
  }
};

std::span<const RowSumsEntry> row_sums_table();

}  // namespace pyloss
