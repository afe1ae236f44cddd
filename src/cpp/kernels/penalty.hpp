// One weight in, one penalty out, added up; or its proximal map.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "../parallel.hpp"
#include "parameters.hpp"
#include "views.hpp"

namespace pyloss {

enum class PenaltyWant : int { value, grad, hess, prox };  // the first three each with all before it

struct PenaltyCall {
  std::string_view loss;
  std::vector<double> parameters;
  std::vector<View> inputs;  // the weights, then what the penalty knows of each; all of one shape
  View grad, hess;           // absent: not wanted; `grad` takes the proximal map
  PenaltyWant want = PenaltyWant::value;
  double step = 0.0;     // of the proximal map
  bool float64 = false;  // computes in float64, otherwise in float32
  int threads = 1;
};

struct PenaltyEntry {
  std::string_view name;
  std::size_t parameters, inputs;
};

std::span<const PenaltyEntry> penalty_table();

/// False if interrupted.
bool run_penalty(const PenaltyCall& call, Interrupt& interrupt, double& value);

}  // namespace pyloss
