// Losses of given pairs, triplets or quadruplets of rows, which are named by their indices.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "../parallel.hpp"
#include "pairwise.hpp"
#include "parameters.hpp"

namespace pyloss {

struct TuplesCall {
  std::string_view loss;
  std::vector<double> parameters;
  std::string_view metric;           // of a loss that leaves it open
  std::vector<Matrix> inputs;        // all of one type
  std::vector<std::size_t> sources;  // the input of each place of a tuple
  const std::int64_t* tuples = nullptr;
  std::size_t count = 0;
  const double* marks = nullptr;  // of each tuple, where the loss wants one
  bool mean = true;
  double* terms = nullptr;   // of each tuple
  std::vector<void*> grads;  // of each input, or none; overwritten
  int threads = 1;
};

std::span<const Signature> tuples_losses();

/// The reduced value; false if interrupted.
bool run_tuples(const TuplesCall& call, Interrupt& interrupt, double& value);

}  // namespace pyloss
