// Distances between the rows of two matrices: all of them, the nearest, those within a radius, row by row, and their derivatives.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "../parallel.hpp"
#include "views.hpp"

namespace pyloss {

/// Rows of float32 or float64, `stride` elements apart; zeros between them.
struct Matrix {
  const void* data = nullptr;
  std::size_t count = 0, depth = 0, stride = 0;
  bool float64 = false;
};

/// A metric as a whole: the name of a sum over the features, or of a form of |x - y|² or x y; what it needs; and how it is computed.
struct PairwiseCall {
  std::string_view metric{};  // of distances/metrics.hpp, or "half_square", "arc"
  double parameter = 0.0;     // p of minkowski
  Matrix x, y;
  bool self = false;     // y is x
  bool float64 = false;  // all pairs are computed in float64, otherwise in float32; single pairs in the type of the rows
  int threads = 1;
};

/// Where the k nearest go: distances and indices, `k` for each row of x.
struct Nearest {
  std::size_t k;
  double* distances;
  std::int64_t* indices;
};

/// For each row of x its neighbours, in the order of their indices.
struct Neighbours {
  std::vector<std::vector<std::int64_t>> indices;
  std::vector<std::vector<double>> distances;
};

/// `out` (rows.count rows of rows.depth + 1) = each row, less its own mean if `centred`, divided by its length, in float64. Behind a row of
/// zeros is a 1: it has a direction of its own. Half the squared distance of two is their cosine or correlation distance.
bool run_directions(const Matrix& rows, bool centred, int threads, double* out, Interrupt& interrupt);
bool run_pairwise(const PairwiseCall& call, const View& out, Interrupt& interrupt);
bool run_nearest(const PairwiseCall& call, const Nearest& out, Interrupt& interrupt);
bool run_within(const PairwiseCall& call, double radius, Neighbours& out, Interrupt& interrupt);
/// Distances of row i of x and row i of y.
bool run_paired(const PairwiseCall& call, double* out, Interrupt& interrupt);
/// `grad` (x.count rows of x.depth) = sum over j of cotangent(i, j) times the derivative of the distance (i, j) by row i of x.
bool run_pairwise_vjp(const PairwiseCall& call, const View& cotangent, double* grad, Interrupt& interrupt);

}  // namespace pyloss
