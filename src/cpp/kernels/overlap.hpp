// Masks and their targets in, one term for each mask out: the losses of the registry's OfOverlaps list.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "../losses/segmentation.hpp"
#include "../parallel.hpp"
#include "parameters.hpp"
#include "views.hpp"

namespace pyloss {

struct OverlapEntry {
  std::string_view name;
  std::size_t parameters;
  OverlapTerms (*terms)(const double* parameters, const Overlap& sums);
};

std::span<const OverlapEntry> overlap_table();

/// A term of a sum of losses of overlaps.
struct OverlapComponent {
  std::size_t entry;  // its place in the table
  std::vector<double> parameters;
};

/// The caller's arrays: pred, target and grad of samples x elements x classes; weight of samples x classes; value likewise, or of classes
/// if the samples are summed up first, and then a sample's weight is that of its part of the sums.
struct OverlapCall {
  std::size_t samples = 0, elements = 0, classes = 1;
  View pred, target, weight, value, grad;
  bool together = false, squared = false, logits = false;
  std::vector<double> scale;  // of each component
  bool float64 = false;
  int threads = 1;
};

/// Adds the sum of weighted values of each component to `totals`; false if interrupted.
bool run_overlap(std::span<const OverlapComponent> components, const OverlapCall& call, Interrupt& interrupt, std::span<double> totals);

}  // namespace pyloss
