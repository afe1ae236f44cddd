// How a loss is named, how it gets its parameters, and what may be asked of it.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string_view>
#include <type_traits>

namespace pyloss {

enum class Want : int { value, grad, hess };  // each with all before it

template <class Loss>
inline constexpr std::size_t parameters_of = std::is_empty_v<Loss> ? 0 : sizeof(Loss) / sizeof(double);

/// The struct's members are doubles, in the order in which Python passes them.
template <class Loss>
Loss with_parameters(const double* parameters) {
  static_assert(std::is_trivially_copyable_v<Loss> && (std::is_empty_v<Loss> || sizeof(Loss) % sizeof(double) == 0));
  Loss loss;
  if constexpr (!std::is_empty_v<Loss>) std::memcpy(&loss, parameters, sizeof loss);
  return loss;
}

template <class Loss>
Loss with_parameters(std::span<const double> parameters) {
  if (parameters.size() != parameters_of<Loss>) throw std::invalid_argument("wrong number of parameters");
  return with_parameters<Loss>(parameters.data());
}

/// A kernel that is called by name.
struct Signature {
  std::string_view name;
  std::size_t parameters;
};

}  // namespace pyloss
