// Rows as losses measure them, and gradients by them carried back to the rows that came.
#pragma once

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "../losses/metric_learning.hpp"
#include "../parallel.hpp"
#include "inner_products.hpp"

namespace pyloss {

/// How a metric that the caller may choose is measured.
inline Measure measure_by(std::string_view metric) {
  if (metric == "euclidean") return {Form::euclidean};
  if (metric == "sqeuclidean") return {Form::sqeuclidean};
  if (metric == "cosine") return {Form::half_square, true};
  throw std::invalid_argument("unknown metric");
}

template <class Loss>
Measure measure_of(std::string_view metric) {
  if constexpr (requires { Loss::measure; }) return Loss::measure;
  return measure_by(metric);
}

/// Rows moved to a centre or divided by their lengths, a stride apart that tiles can read to the end.
template <class T>
struct Prepared {
  std::size_t count, depth, stride;
  Buffer<T> data;
  std::vector<double> lengths;     // if they were divided
  std::vector<std::size_t> zeros;  // rows of length 0

  Prepared(const Matrix& from, bool normalised, const std::vector<double>& centre, int threads, Interrupt& interrupt)
      : count(from.count),
        depth(from.depth),
        stride(divide_up(std::max<std::size_t>(from.depth, 1), Tile<T>::columns) * Tile<T>::columns),
        data(count * stride),
        lengths(normalised ? count : 0) {
    constexpr std::size_t chunk = 64;
    for_each_chunk(divide_up(count, chunk), threads, interrupt, [&](std::size_t unit, int) {
      const std::vector<T> origin(depth, T{0});
      for (std::size_t i = unit * chunk; i < std::min(count, (unit + 1) * chunk); ++i) {
        const T* const row = static_cast<const T*>(from.data) + i * from.stride;
        T* const to = data.data() + i * stride;
        if (normalised) {
          lengths[i] = distance_of(Form::euclidean, square_distance(row, origin.data(), depth));
          divide(row, lengths[i], to);
        } else {
          for (std::size_t k = 0; k < depth; ++k) to[k] = row[k] - static_cast<T>(centre[k]);
        }
        std::fill(to + depth, to + stride, T{0});
      }
    });
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      if (lengths[i] == 0.0) zeros.push_back(i);
    }
  }

  Matrix rows() const { return {data.data(), count, depth, stride, sizeof(T) == 8}; }
  const T* row(std::size_t i) const { return data.data() + i * stride; }

  /// Writes `scale` times the gradient by the row that came, of the gradient by the prepared one.
  template <class From>
  void carry_back(std::size_t i, double scale, const From* from, T* to) const {
    double along = 0.0, factor = scale;
    if (!lengths.empty()) {
      for (std::size_t k = 0; k < depth; ++k) along += static_cast<double>(row(i)[k]) * static_cast<double>(from[k]);
      factor = lengths[i] == 0.0 ? 0.0 : scale / lengths[i];
    }
    for (std::size_t k = 0; k < depth; ++k) {
      const double g = static_cast<double>(from[k]) - along * static_cast<double>(row(i)[k]);
      to[k] = static_cast<T>(factor == 0.0 ? 0.0 : factor * g);
    }
  }

 private:
  /// A row of zeros stays.
  void divide(const T* row, double length, T* to) const {
    if (length == 0.0) return std::fill_n(to, depth, T{0}), void();
    // The inverse of a tiny length may be infinite, its quotients are not.
    const double inverse = 1.0 / length;
    for (std::size_t k = 0; k < depth; ++k) {
      to[k] = static_cast<T>(std::isfinite(inverse) ? static_cast<double>(row[k]) * inverse : static_cast<double>(row[k]) / length);
    }
  }
};

}  // namespace pyloss
