// The inner loops, compiled for one element type (PYLOSS_SCALAR) and every loss of the list.
#include <array>

#include "../losses/registry.hpp"
#include "elementwise.hpp"
#include "parameters.hpp"

namespace pyloss {

namespace {

/// How many V the loss takes: pred, target and whatever else.
template <class Loss, class V, class... Vs>
consteval std::size_t arity() {
  if constexpr (std::is_invocable_v<const Loss&, Vs...>) {
    return sizeof...(Vs);
  } else {
    return arity<Loss, V, V, Vs...>();
  }
}

/// pred and target have an element for each place; only what follows may be one number for all.
template <std::size_t I, class T, class Lanes>
PYLOSS_INLINE simd::Pack<T> load(const Block<T>& block, std::size_t i, Lanes lanes) {
  if constexpr (I < 2) return lanes.load(block.input[I].at + i);
  return block.input[I].load(i, lanes);
}

/// Asks for what the loop will soon load; `each` if the input has surely an element for each place.
template <class T>
PYLOSS_INLINE void prefetch(const Input<T>& input, bool each, const Block<T>& block, std::size_t i) {
  simd::prefetch_ahead(input.at, each ? i : i & input.mask, block.share);
}

/// The derivative by input K of those that have derivatives.
template <std::size_t K, class V>
PYLOSS_INLINE V by(V only) {
  return only;
}
template <std::size_t K, class V, std::size_t N>
PYLOSS_INLINE V by(const std::array<V, N>& each) {
  return each[K];
}

template <class Terms>
inline constexpr std::size_t gradients_of = 1;
template <class V, std::size_t N>
inline constexpr std::size_t gradients_of<const JointTerms<V, N>> = N;

template <class Loss, class V, std::size_t... I>
consteval std::size_t gradients(std::index_sequence<I...>) {
  return gradients_of<const decltype(std::declval<const Loss&>()((static_cast<void>(I), std::declval<V>())...))>;
}

template <Want want, class Loss, class T>
void kernel(const double* parameters, const Block<T>& at, double* sums) {
  using V = simd::Pack<T>;
  const Loss loss = with_parameters<Loss>(parameters);
  const Block<T> block = at;  // a local copy: the stores below cannot change it, which the compiler now knows
  simd::SumOfFew<T> sum(sums);
  const bool weighs = block.weight.at != nullptr;
  simd::for_each_pack<T, true>(block.size, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
    const auto terms = [&]<std::size_t... I>(std::index_sequence<I...>) PYLOSS_INLINE_LAMBDA {
      if constexpr (place == 0) (prefetch(block.input[I], I < 2, block, i), ...);
      return loss(load<I>(block, i, lanes)...);
    }(std::make_index_sequence<arity<Loss, V>()>{});
    V w = 1.0;
    if (weighs) {
      if constexpr (place == 0) prefetch(block.weight, false, block, i);
      w = block.weight.load(i, lanes);
    }
    // Weight 0 excludes an element, whatever its result.
    const auto weigh = [&](V result) PYLOSS_INLINE_LAMBDA { return weighs ? times_or_zero(w, result) : result; };
    const V weighted = weigh(terms.value);
    weighs ? sum.add_widened(i, place, weighted) : sum.add(i, place, weighted);
    if (block.value.to) block.value.store(i, weighted, lanes);
    [&]<std::size_t... K>(std::index_sequence<K...>) PYLOSS_INLINE_LAMBDA {
      if constexpr (want >= Want::grad) (block.grad[K].store(i, weigh(by<K>(terms.grad)), lanes), ...);
      if constexpr (want >= Want::hess) (block.hess[K].store(i, weigh(block.surrogate(by<K>(terms.hess))), lanes), ...);
    }(std::make_index_sequence<gradients_of<decltype(terms)>>{});
  });
  sum.store(sums);
}

template <class T, class Loss>
constexpr Entry<T> entry() {
  using V = simd::Pack<T>;
  constexpr std::size_t inputs = arity<Loss, V>();
  return {Loss::name,
          parameters_of<Loss>,
          inputs,
          gradients<Loss, V>(std::make_index_sequence<inputs>{}),
          {kernel<Want::value, Loss, T>, kernel<Want::grad, Loss, T>, kernel<Want::hess, Loss, T>}};
}

template <class T, class... Losses>
std::span<const Entry<T>> table_of(List<Losses...>) {
  static constexpr std::array<Entry<T>, sizeof...(Losses)> table{entry<T, Losses>()...};
  return table;
}

}  // namespace

template <>
std::span<const Entry<PYLOSS_SCALAR>> elementwise_table() {
  return table_of<PYLOSS_SCALAR>(Elementwise{});
}

}  // namespace pyloss
