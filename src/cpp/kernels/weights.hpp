// What has to be known of weights and labels before anything is written.
#pragma once

#include <optional>

#include "../parallel.hpp"
#include "views.hpp"

namespace pyloss {

struct Checked {
  std::optional<std::size_t> first_bad;
  double total = 0.0;
};

/// Weights must be finite and not negative; `total` is their sum, the same for any number of threads.
Checked check_weights(const View& weight, int threads, Interrupt& interrupt);

}  // namespace pyloss
