// One element in, one term out: every loss of the registry's Elementwise list, over any arrays, in one pass over memory.
#pragma once

#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "../parallel.hpp"
#include "block.hpp"
#include "parameters.hpp"
#include "tally.hpp"
#include "views.hpp"

namespace pyloss {

inline constexpr std::size_t max_inputs = 4, max_gradients = 3;

/// What is stored as second derivative: max(factor * hess, floor), which boosting libraries put in place of the exact one.
struct Surrogate {
  double factor = 1.0, floor = -std::numeric_limits<double>::infinity();

  template <class V>
  PYLOSS_INLINE V operator()(V hess) const {
    return max(hess * factor, floor);
  }
};

/// One inner loop's work.
template <class T>
struct Block {
  std::size_t size = 0;
  Input<T> input[max_inputs], weight;  // no weight: all count alike
  Surrogate surrogate;
  Output<T> value;
  Output<T> grad[max_gradients], hess[max_gradients];  // by each input that has derivatives
  simd::Share share;
};

/// Adds the weighted values to `sums`, one float64 for each lane of a group, and fills the outputs. Of whole groups only.
template <class T>
using Kernel = void (*)(const double* parameters, const Block<T>& block, double* sums);

/// What the rest of the library may know of a loss.
template <class T>
struct Entry {
  std::string_view name;
  std::size_t parameters, inputs, gradients;
  Kernel<T> kernel[3];  // by Want
};

template <class T>
std::span<const Entry<T>> elementwise_table();

/// Runs a kernel over the whole groups of a block of any size, then over its last elements as a group whose others weigh nothing: a second
/// loop for them in every kernel would be as much code again.
template <class T>
void run_block(const Entry<T>& entry, Want want, const double* parameters, const Block<T>& block, double* sums);

/// A term of a sum of losses.
struct Component {
  std::size_t entry;  // its place in the table
  std::vector<double> parameters;
};

/// The caller's arrays, all of one shape. Absent views mean: no weights, output not wanted.
struct ElementwiseCall {
  std::vector<View> inputs;                   // pred, target, ...: shared by all components
  std::vector<std::vector<View>> own_inputs;  // behind them, for each component
  View weight, value;
  std::vector<View> grad, hess;      // by each input that has derivatives
  std::vector<Surrogate> surrogate;  // for each component
  std::vector<double> scale;         // of the stored results, for each component
  Want want = Want::value;
  bool float64 = false;  // computes in float64, otherwise in float32
  int threads = 1;
};

/// The values of the components, not weighted, and behind them columns that are arrays; of a call's inputs and types.
std::unique_ptr<Columns> values_of(std::span<const Component> components, const ElementwiseCall& call, const std::vector<View>& others);

/// Adds the sum of weighted values of each component to `totals`; false if interrupted.
bool run_elementwise(std::span<const Component> components, const ElementwiseCall& call, Interrupt& interrupt, std::span<double> totals);

}  // namespace pyloss
