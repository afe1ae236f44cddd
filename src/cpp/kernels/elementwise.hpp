// One element in, one term out: every loss of the registry's Elementwise list, over any arrays, in one pass over memory.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "../parallel.hpp"
#include "block.hpp"
#include "parameters.hpp"
#include "views.hpp"

namespace pyloss {

inline constexpr std::size_t max_inputs = 4;

/// One inner loop's work.
template <class T>
struct Block {
  std::size_t size = 0;
  Input<T> input[max_inputs];
  T* value = nullptr;  // the values one by one, if wanted
  Output<T> grad, hess;
};

/// Adds the values to `sums`, one float64 for each lane of a group, and fills the outputs.
template <class T>
using Kernel = void (*)(const double* parameters, const Block<T>& block, double* sums);

/// What the rest of the library may know of a loss.
template <class T>
struct Entry {
  std::string_view name;
  std::size_t parameters, inputs;
  Kernel<T> kernel[3];  // by Want
};

template <class T>
std::span<const Entry<T>> elementwise_table();

/// A term of a sum of losses.
struct Component {
  std::size_t entry;  // its place in the table
  std::vector<double> parameters;
};

/// The caller's arrays, all of one shape. Absent views mean: no weights, output not wanted.
struct ElementwiseCall {
  std::vector<View> inputs;                   // pred, target, ...: shared by all components
  std::vector<std::vector<View>> own_inputs;  // behind them, for each component
  View weight, value, grad, hess;
  std::vector<double> scale;  // of the stored results, for each component
  Want want = Want::value;
  bool float64 = false;  // computes in float64, otherwise in float32
  int threads = 1;
};

/// Adds the sum of weighted values of each component to `totals`; false if interrupted.
bool run_elementwise(std::span<const Component> components, const ElementwiseCall& call, Interrupt& interrupt, std::span<double> totals);

}  // namespace pyloss
