// How a loss gets its parameters, and what may be asked of it.
#pragma once

#include <cstddef>
#include <cstring>
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

}  // namespace pyloss
