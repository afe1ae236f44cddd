// The Lovász extension of the Jaccard loss, of a mask's errors in falling order: the losses of the registry's OfSortedErrors list.
#pragma once

#include <span>
#include <string_view>

#include "../losses/segmentation.hpp"
#include "../parallel.hpp"
#include "parameters.hpp"
#include "views.hpp"

namespace pyloss {

std::span<const Signature> lovasz_losses();

/// The caller's arrays: pred and grad of samples x classes x elements; target likewise, the same for all classes: labels of classes if
/// there are several, else 0 or 1. Of several classes a sample's value is the mean over those that are in its target.
struct LovaszCall {
  std::string_view loss;
  std::size_t samples = 0, classes = 1, elements = 0;
  bool labels = false;
  View pred, target, weight, value, grad;  // weight and value of samples
  double scale = 1.0;                      // of the stored results
  bool float64 = false;
  int threads = 1;
};

/// Adds the sum of weighted values to `total`; false if interrupted.
bool run_lovasz(const LovaszCall& call, Interrupt& interrupt, double& total);

}  // namespace pyloss
