// Losses of the covariances of the columns of two batches.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "../parallel.hpp"
#include "pairwise.hpp"
#include "parameters.hpp"

namespace pyloss {

struct CovarianceCall {
  std::string_view loss;
  std::vector<double> parameters;
  Matrix x, y;                                // of one type and depth
  void *grad_x = nullptr, *grad_y = nullptr;  // zeros at first
  int threads = 1;
};

std::span<const Signature> covariance_losses();

/// False if interrupted.
bool run_covariance(const CovarianceCall& call, Interrupt& interrupt, double& value);

}  // namespace pyloss
