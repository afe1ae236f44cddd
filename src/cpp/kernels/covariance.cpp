#include "covariance.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "../losses/registry.hpp"
#include "inner_products.hpp"

namespace pyloss {

namespace {

constexpr std::size_t row_chunk = 64;

/// Sums over rows, each of which add(row, to) adds to `width` numbers; in fixed blocks.
template <class Add>
std::vector<double> sums_over_rows(std::size_t count, std::size_t width, int threads, Interrupt& interrupt, Add&& add) {
  constexpr std::size_t block = 1024;
  std::vector<double> sums(divide_up(std::max<std::size_t>(count, 1), block) * width, 0.0);
  for_each_chunk(sums.size() / std::max<std::size_t>(width, 1), threads, interrupt, [&](std::size_t unit, int) {
    for (std::size_t i = unit * block; i < std::min(count, (unit + 1) * block); ++i) add(i, sums.data() + unit * width);
  });
  for (std::size_t at = width; at < sums.size(); ++at) sums[at % width] += sums[at];
  sums.resize(width);
  return sums;
}

/// The columns of a batch less their means, for correlations divided by their lengths.
template <class T>
struct Columns {
  std::size_t count, depth, stride;
  Buffer<T> data;
  std::vector<double> lengths;  // if they were divided

  Columns(const Matrix& from, bool unit_length, int threads, Interrupt& interrupt)
      : count(from.count),
        depth(from.depth),
        stride(divide_up(std::max<std::size_t>(from.depth, 1), Tile<T>::columns) * Tile<T>::columns),
        data(divide_up(count, Tile<T>::rows) * Tile<T>::rows * stride) {
    const T* const rows = static_cast<const T*>(from.data);
    const auto sum_of = [&](auto&& of) {
      return sums_over_rows(count, depth, threads, interrupt, [&](std::size_t i, double* to) {
        for (std::size_t k = 0; k < depth; ++k) to[k] += of(static_cast<double>(rows[i * from.stride + k]), k);
      });
    };
    // The mean of the differences from the first row, which are exactly 0 in a constant column.
    const auto first = [&](std::size_t k) { return static_cast<double>(rows[k]); };
    std::vector<double> mean = sum_of([&](double a, std::size_t k) { return a - first(k); });
    for (double& each : mean) each /= static_cast<double>(count);
    const auto centred = [&](double a, std::size_t k) { return (a - first(k)) - mean[k]; };
    if (unit_length) {
      std::vector<double> largest(depth, 0.0);
      for (std::size_t i = 0; i < count && !interrupt.requested(); ++i) {
        for (std::size_t k = 0; k < depth; ++k) {
          const double size = std::abs(centred(static_cast<double>(rows[i * from.stride + k]), k));
          if (!(size <= largest[k])) largest[k] = size;
        }
      }
      const auto part = [&](double a, std::size_t k) { return largest[k] == 0.0 ? 0.0 : centred(a, k) / largest[k]; };
      lengths = sum_of([&](double a, std::size_t k) { return part(a, k) * part(a, k); });
      for (std::size_t k = 0; k < depth; ++k) lengths[k] = largest[k] * std::sqrt(lengths[k]);
    }
    std::fill(data.data() + count * stride, data.data() + divide_up(count, Tile<T>::rows) * Tile<T>::rows * stride, T{0});
    for_each_chunk(divide_up(count, row_chunk), threads, interrupt, [&](std::size_t unit, int) {
      for (std::size_t i = unit * row_chunk; i < std::min(count, (unit + 1) * row_chunk); ++i) {
        for (std::size_t k = 0; k < depth; ++k) {
          const double a = centred(static_cast<double>(rows[i * from.stride + k]), k);
          data.data()[i * stride + k] = static_cast<T>(lengths.empty() ? a : lengths[k] == 0.0 ? 0.0 : a / lengths[k]);
        }
        std::fill(data.data() + i * stride + depth, data.data() + (i + 1) * stride, T{0});
      }
    });
  }

  const T* row(std::size_t i) const { return data.data() + i * stride; }
};

/// A matrix of a row and a column for each feature. Even to clear the memory of a large one is left to threads that Ctrl-C ends.
struct Square {
  std::size_t size;
  Buffer<double> data;

  Square(std::size_t depth, int threads, Interrupt& interrupt) : size(depth), data(depth * depth) {
    for_each_row(threads, interrupt, [&](double* row) { std::fill_n(row, size, 0.0); });
  }
  double& operator()(std::size_t i, std::size_t j) { return data.data()[i * size + j]; }

  template <class Use>
  bool for_each_row(int threads, Interrupt& interrupt, Use&& use) {
    return for_each_chunk(size, threads, interrupt, [&](std::size_t i, int) { use(data.data() + i * size); });
  }
};

/// scale times the products of the columns of a with those of b, added to `to`.
template <class T>
bool add_products(const Columns<T>& a, const Columns<T>& b, double scale, Square& to, int threads, Interrupt& interrupt) {
  constexpr std::size_t rows = Tile<T>::rows, columns = Tile<T>::columns, block = 512;
  const std::size_t across = b.stride / columns;
  return for_each_chunk(divide_up(a.depth, rows) * across, threads, interrupt, [&](std::size_t unit, int) {
    alignas(simd::group_bytes) T tile[rows * columns];
    // The last columns of a tile may belong to the next row, where nothing is read into the result.
    const std::size_t i0 = std::min(unit / across * rows, a.stride - rows), j0 = unit % across * columns;
    const std::size_t skip = unit / across * rows - i0;
    for (std::size_t begin = 0; begin < a.count; begin += block) {
      accumulate<T>(distances::Inner{}, SideBySide<T, std::size_t>{a.row(begin) + i0, a.stride}, b.row(begin) + j0, b.stride,
                    std::min(block, a.count - begin), tile);
      for (std::size_t r = skip; r < rows && i0 + r < a.depth; ++r) {
        for (std::size_t c = 0; c < columns && j0 + c < b.depth; ++c)
          to(i0 + r, j0 + c) += scale * static_cast<double>(tile[r * columns + c]);
      }
    }
  });
}

/// grad = rows times slopes (or its transpose), carried back through the centring and division of `of`.
template <class T>
bool find_gradient(const Columns<T>& rows_of, Square& slopes, bool transposed, const Columns<T>& of, T* grad, int threads,
                   Interrupt& interrupt) {
  constexpr std::size_t rows = Tile<T>::rows, columns = Tile<T>::columns;
  const std::size_t depth = of.depth, stride = of.stride;
  Buffer<T> factors(stride * stride);
  for_each_chunk(stride, threads, interrupt, [&](std::size_t i, int) {
    T* const to = factors.data() + i * stride;
    std::fill_n(to, stride, T{0});
    for (std::size_t j = 0; i < depth && j < depth; ++j) to[j] = static_cast<T>(transposed ? slopes(j, i) : slopes(i, j));
  });
  bool done = for_each_chunk(divide_up(of.count, rows), threads, interrupt, [&](std::size_t unit, int) {
    alignas(simd::group_bytes) T tile[rows * columns];
    const std::size_t first = unit * rows;
    for (std::size_t f = 0; f < depth; f += columns) {
      accumulate<T>(distances::Inner{}, RowByRow<T>{rows_of.row(first), stride}, factors.data() + f, stride, depth, tile);
      for (std::size_t r = 0; r < rows && first + r < of.count; ++r) {
        for (std::size_t c = 0; c < columns && f + c < depth; ++c) grad[(first + r) * depth + f + c] = tile[r * columns + c];
      }
    }
  });
  if (!done) return false;
  const bool along_too = !of.lengths.empty();
  std::vector<double> mean = sums_over_rows(of.count, 2 * depth, threads, interrupt, [&](std::size_t i, double* to) {
    for (std::size_t k = 0; k < depth; ++k) {
      const double g = static_cast<double>(grad[i * depth + k]);
      to[k] += g;
      if (along_too) to[depth + k] += g * static_cast<double>(of.row(i)[k]);
    }
  });
  const std::vector<double> along(mean.begin() + static_cast<std::ptrdiff_t>(depth), mean.end());
  for (double& each : mean) each /= static_cast<double>(of.count);
  return for_each_chunk(divide_up(of.count, row_chunk), threads, interrupt, [&](std::size_t unit, int) {
    for (std::size_t i = unit * row_chunk; i < std::min(of.count, (unit + 1) * row_chunk); ++i) {
      for (std::size_t k = 0; k < depth; ++k) {
        T& g = grad[i * depth + k];
        double moved = static_cast<double>(g) - mean[k];
        if (!of.lengths.empty()) {
          moved = of.lengths[k] == 0.0 ? 0.0 : (moved - along[k] * static_cast<double>(of.row(i)[k])) / of.lengths[k];
        }
        g = static_cast<T>(moved);
      }
    }
  });
}

/// The mean of (x - y)² times weight, and its gradients added.
template <class T>
double add_difference(const CovarianceCall& call, double weight, T* grad_x, T* grad_y, Interrupt& interrupt) {
  const std::size_t depth = call.x.depth;
  const double share = weight / (static_cast<double>(call.x.count) * static_cast<double>(depth));
  const auto total = sums_over_rows(call.x.count, 1, call.threads, interrupt, [&](std::size_t i, double* to) {
    const T* const x = static_cast<const T*>(call.x.data) + i * call.x.stride;
    const T* const y = static_cast<const T*>(call.y.data) + i * call.y.stride;
    for (std::size_t k = 0; k < depth; ++k) {
      const double r = static_cast<double>(x[k]) - static_cast<double>(y[k]);
      *to += r * r;
      if (!grad_x) continue;
      grad_x[i * depth + k] += static_cast<T>(2.0 * share * r);
      grad_y[i * depth + k] -= static_cast<T>(2.0 * share * r);
    }
  });
  return share * total[0];
}

template <class T, class Loss>
bool run(const CovarianceCall& call, Interrupt& interrupt, double& value) {
  const Loss loss = with_parameters<Loss>(call.parameters);
  T *const grad_x = static_cast<T*>(call.grad_x), *const grad_y = static_cast<T*>(call.grad_y);
  const std::size_t depth = call.x.depth;
  value = 0.0;
  if (call.x.count == 0 || call.y.count == 0 || depth == 0) return true;
  constexpr bool unit_length = Loss::products == Products::of_both;
  const Columns<T> x(call.x, unit_length, call.threads, interrupt), y(call.y, unit_length, call.threads, interrupt);
  // Of one row the covariance is 0.
  const auto share = [](const Matrix& of) { return 1.0 / std::max(1.0, static_cast<double>(of.count) - 1.0); };
  Square slopes(depth, call.threads, interrupt);
  const auto evaluate = [&](Square& matrix) {
    std::vector<double> values(depth, 0.0);
    for_each_chunk(depth, call.threads, interrupt, [&](std::size_t i, int) {
      for (std::size_t j = 0; j < depth; ++j) values[i] += loss(matrix(i, j), i == j, depth, [&](double slope) { slopes(i, j) = slope; });
    });
    for (const double each : values) value += each;
  };
  const auto scale_slopes = [&](double factor) {
    slopes.for_each_row(call.threads, interrupt, [&](double* row) {
      for (std::size_t j = 0; j < depth; ++j) row[j] *= factor;
    });
  };
  const auto carry = [&](const Columns<T>& rows, bool transposed, const Columns<T>& of, T* grad) {
    return !grad || find_gradient(rows, slopes, transposed, of, grad, call.threads, interrupt);
  };
  if constexpr (Loss::products == Products::of_both) {
    Square both(depth, call.threads, interrupt);
    if (!add_products(x, y, 1.0, both, call.threads, interrupt)) return false;
    evaluate(both);
    if (!carry(y, true, x, grad_x) || !carry(x, false, y, grad_y)) return false;
  } else if constexpr (Loss::products == Products::of_each) {
    const auto each = [&](const Columns<T>& of, const Matrix& matrix, T* grad) {
      Square own(depth, call.threads, interrupt);
      if (!add_products(of, of, share(matrix), own, call.threads, interrupt)) return false;
      evaluate(own);
      // Covariances are symmetric: each of two factors brings the same.
      scale_slopes(2.0 * share(matrix));
      return carry(of, false, of, grad);
    };
    if (!each(x, call.x, grad_x) || !each(y, call.y, grad_y)) return false;
  } else {
    Square difference(depth, call.threads, interrupt);
    if (!add_products(x, x, share(call.x), difference, call.threads, interrupt)) return false;
    if (!add_products(y, y, -share(call.y), difference, call.threads, interrupt)) return false;
    evaluate(difference);
    scale_slopes(2.0 * share(call.x));
    if (!carry(x, false, x, grad_x)) return false;
    scale_slopes(-share(call.y) / share(call.x));
    if (!carry(y, false, y, grad_y)) return false;
  }
  if (loss.invariance() != 0.0) value += add_difference<T>(call, loss.invariance(), grad_x, grad_y, interrupt);
  return !interrupt.requested();
}

}  // namespace

std::span<const Signature> covariance_losses() { return signatures(OfCovariances{}); }

bool run_covariance(const CovarianceCall& call, Interrupt& interrupt, double& value) {
  return with_named(call.loss, OfCovariances{}, [&]<class Loss>() {
    return call.x.float64 ? run<double, Loss>(call, interrupt, value) : run<float, Loss>(call, interrupt, value);
  });
}

}  // namespace pyloss
