// Losses of a batch of embeddings: pairs of rows are measured, weighed and carried on to gradients slab by slab, so that no matrix of all
// pairs is ever stored.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "../parallel.hpp"
#include "pairwise.hpp"
#include "parameters.hpp"

namespace pyloss {

/// Rows and the class of each, numbered from 0.
struct Labelled {
  Matrix rows;
  const std::int64_t* labels;
};

struct EmbeddingCall {
  std::string_view loss;
  std::vector<double> parameters;
  std::string_view metric;  // of a loss that leaves it open: "euclidean", "sqeuclidean" or "cosine"
  Labelled x, y;            // anchors, and what they are measured against
  bool self = false;        // y is x
  bool mean = true;
  double scale = 1.0;       // of value and gradients
  double* terms = nullptr;  // of each anchor
  /// Gradients, rows of x.rows.depth of the type of the rows, to which those of this call are added; both null or, if self, the second.
  void *grad_x = nullptr, *grad_y = nullptr;
  int threads = 1;
};

std::span<const Signature> embedding_losses();

/// The reduced value; false if interrupted.
bool run_embedding(const EmbeddingCall& call, Interrupt& interrupt, double& value);

/// For each anchor its mined triplets (anchor, positive, negative): "all", "hard" or "semihard".
bool run_mine(const EmbeddingCall& call, std::vector<std::vector<std::int64_t>>& triplets, Interrupt& interrupt);

}  // namespace pyloss
