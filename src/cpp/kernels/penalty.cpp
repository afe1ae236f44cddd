#include "penalty.hpp"

#include <array>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "../losses/registry.hpp"
#include "block.hpp"
#include "blocks.hpp"

namespace pyloss {

namespace {

template <class Loss>
inline constexpr std::size_t inputs_of = std::is_invocable_v<const Loss&, simd::Pack<double>> ? 1 : 3;

/// Elements that pass through scratch at a time: few, so that the memory is not idle for long.
constexpr std::size_t few_elements = 256;

template <PenaltyWant want, class Loss, class T, std::size_t... I>
void kernel(const Loss& loss, double step, const std::array<const T*, sizeof...(I)>& inputs, std::size_t size, Output<T> grad,
            Output<T> hess, double* sums, std::index_sequence<I...>) {
  using V = simd::Pack<T>;
  const auto at = inputs;  // a local copy: the stores below cannot change it
  if constexpr (want == PenaltyWant::prox) {
    simd::for_each_pack<T>(size, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
      if constexpr (place == 0) (simd::prefetch_ahead(at[I] + i), ...);
      grad.store(i, loss.prox(step, lanes.load(at[I] + i)...), lanes);
    });
  } else {
    simd::SumOfFew<T> sum(sums);
    simd::for_each_pack<T>(size, [&](std::size_t i, auto place, auto lanes) PYLOSS_INLINE_LAMBDA {
      if constexpr (place == 0) (simd::prefetch_ahead(at[I] + i), ...);
      const Terms<V> terms = loss(lanes.load(at[I] + i)...);
      sum.add(i, place, lanes.or_zero(terms.value));
      if constexpr (want >= PenaltyWant::grad) grad.store(i, terms.grad, lanes);
      if constexpr (want >= PenaltyWant::hess) hess.store(i, terms.hess, lanes);
    });
    sum.store(sums);
  }
}

template <PenaltyWant want, class Loss, class T>
bool run(const PenaltyCall& call, Interrupt& interrupt, double& value) {
  constexpr std::size_t inputs = inputs_of<Loss>;
  const Loss loss = with_parameters<Loss>(call.parameters);
  const std::size_t size = call.inputs[0].size(), chunks = divide_up(size, chunk_elements);
  const Results<T> grads(call.grad), hesses(call.hess);
  const bool stream_grad = grads.streams(), stream_hess = hesses.streams();
  std::vector<double> sums(chunks);
  const bool done = for_each_chunk(chunks, call.threads, interrupt, [&](std::size_t chunk, int) {
    alignas(simd::group_bytes) T scratch[inputs + 2][few_elements];
    alignas(simd::group_bytes) double lane_sums[simd::Sum<T>::size] = {};
    Joined<T> grad_joined, hess_joined;
    const std::size_t end = std::min((chunk + 1) * chunk_elements, size);
    for_each_block<few_elements>(chunk * chunk_elements, end, [&](std::size_t begin, std::size_t count) {
      std::array<const T*, inputs> at;
      for (std::size_t i = 0; i < inputs; ++i) at[i] = block_of(call.inputs[i], begin, count, scratch[i]);
      T* const grad = stream_grad ? grads.direct(begin) : grads.block(begin, count, scratch[inputs]);
      T* const hess = stream_hess ? hesses.direct(begin) : hesses.block(begin, count, scratch[inputs + 1]);
      kernel<want, Loss, T>(loss, call.step, at, count, {.to = grad, .stream = stream_grad}, {.to = hess, .stream = stream_hess}, lane_sums,
                            std::make_index_sequence<inputs>{});
      if (!stream_grad) grads.finish(begin, count, grad, grad_joined);
      if (!stream_hess) hesses.finish(begin, count, hess, hess_joined);
    });
    grad_joined.finish();
    hess_joined.finish();
    sums[chunk] = simd::Sum<T>::merge(lane_sums);
  });
  value = 0.0;
  for (const double sum : sums) value += sum;
  return done;
}

template <class Loss, class T>
bool run_wanted(const PenaltyCall& call, Interrupt& interrupt, double& value) {
  switch (call.want) {
    case PenaltyWant::value: return run<PenaltyWant::value, Loss, T>(call, interrupt, value);
    case PenaltyWant::grad: return run<PenaltyWant::grad, Loss, T>(call, interrupt, value);
    case PenaltyWant::hess: return run<PenaltyWant::hess, Loss, T>(call, interrupt, value);
    case PenaltyWant::prox: return run<PenaltyWant::prox, Loss, T>(call, interrupt, value);
  }
  throw std::invalid_argument("unknown want");
}

template <class... Losses>
std::span<const PenaltyEntry> table_of(List<Losses...>) {
  static constexpr std::array<PenaltyEntry, sizeof...(Losses)> table{
      PenaltyEntry{Losses::name, parameters_of<Losses>, inputs_of<Losses>}...};
  return table;
}

}  // namespace

std::span<const PenaltyEntry> penalty_table() { return table_of(Penalties{}); }

bool run_penalty(const PenaltyCall& call, Interrupt& interrupt, double& value) {
  return with_named(call.loss, Penalties{}, [&]<class Loss>() {
    if (call.inputs.size() != inputs_of<Loss>) throw std::invalid_argument("wrong number of inputs");
    return call.float64 ? run_wanted<Loss, double>(call, interrupt, value) : run_wanted<Loss, float>(call, interrupt, value);
  });
}

}  // namespace pyloss
