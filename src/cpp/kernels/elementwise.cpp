#include "elementwise.hpp"

#include <algorithm>

#include "blocks.hpp"
#include "buffer.hpp"

namespace pyloss {

namespace {

/// Elements that one thread takes at a time, whatever the number of threads. A multiple of every block.
constexpr std::size_t chunk_size = 32768;

/// Elements that pass through scratch at a time. Small, so that the memory is never idle for long while a block is in the cache
/// (measured with a sum of two losses: 2 KiB took 5 % longer, 4 KiB 10 %, and so did 512 bytes); but where nothing is stored, terms only
/// read, and calling them costs more than that (five losses: 1 KiB took 10 % longer than 4).
template <class T>
constexpr std::size_t block_size(bool stores) {
  return (stores ? 1024 : 4096) / sizeof(T);
}

/// What one thread needs of its own: blocks of T, and the sums of each term of a chunk.
template <class T>
class Scratch {
 public:
  static constexpr std::size_t lanes = simd::Sum<T>::size;

  Scratch(std::size_t blocks, std::size_t block_size, std::size_t results, std::size_t terms)
      : block_size_(block_size), blocks_(blocks * block_size), joined_(results), sums_(terms * lanes) {}

  T* block(std::size_t i) { return blocks_.data() + i * block_size_; }
  Joined<T>& joined(std::size_t result) { return joined_[result]; }
  double* sums(std::size_t term) { return sums_.data() + term * lanes; }
  void clear() { std::fill(sums_.begin(), sums_.end(), 0.0); }
  void finish() {
    for (auto& each : joined_) each.finish();
  }

 private:
  std::size_t block_size_;
  Buffer<T> blocks_;
  std::vector<Joined<T>> joined_;
  std::vector<double> sums_;
};

/// An input of the caller as the inner loop wants it: the caller's memory itself where that serves.
template <class T>
class Source {
 public:
  /// `spread` if the inner loop wants an element for each place even of an input that is one number.
  Source(const View& view, bool spread) : view_(view), constant_(1.0), same_for_all_(!spread && (!view || view.constant())) {
    if (view && view.template direct<T>()) there_ = view.template pointer<T>(0);
    if (!view || view.size() == 0 || !same_for_all_) return;
    double one;
    view.read(0, 1, &one);
    constant_ = Constant<T>(one);
  }

  bool in_place() const { return same_for_all_ || there_; }

  Input<T> block(std::size_t begin, std::size_t size, T* scratch) const {
    if (there_) return {there_ + begin};
    if (same_for_all_) return constant_;
    view_.read(begin, size, scratch);
    return {scratch};
  }

 private:
  const View& view_;
  Constant<T> constant_;
  bool same_for_all_;
  const T* there_ = nullptr;
};

/// An output of the caller. Terms of a sum are added up in scratch; the last of them writes where the caller wants it.
template <class T>
class Sink {
 public:
  explicit Sink(const View& view) : view_(view), large_(view && view.size() * sizeof(T) >= stream_from) {
    if (!view || !view.template direct<T>()) return;
    T* const there = view.template pointer<T>(0);
    // A large output that is not aligned is streamed from scratch, so that a sum's lanes do not depend on the alignment.
    if (!large_ || reinterpret_cast<std::uintptr_t>(there) % simd::group_bytes == 0) there_ = there;
  }

  bool in_place() const { return !view_ || there_; }

  /// Where a term's results go, scaled.
  Output<T> block(std::size_t begin, T* scratch, double scale, bool first, bool last) const {
    const bool final = last && there_;
    return {.to = final ? there_ + begin : scratch,
            .add = first ? nullptr : scratch,
            .scale = static_cast<T>(scale),
            .stream = final && large_};
  }

  void finish(std::size_t begin, std::size_t size, const T* scratch, Joined<T>& joined) const {
    if (view_ && !there_) view_.write(begin, size, scratch, large_ ? &joined : nullptr);
  }

 private:
  const View& view_;
  bool large_;
  T* there_ = nullptr;
};

template <class T>
bool run(std::span<const Component> components, const ElementwiseCall& call, Interrupt& interrupt, std::span<double> totals) {
  const auto table = elementwise_table<T>();
  const std::size_t size = call.inputs[0].size(), inputs = call.inputs.size(), terms = components.size();
  const std::size_t chunks = divide_up(size, chunk_size);

  std::vector<Source<T>> sources;  // inputs, weight, then what each term has for itself
  for (const View& view : call.inputs) sources.emplace_back(view, true);
  sources.emplace_back(call.weight, false);
  for (const auto& own : call.own_inputs) {
    for (const View& view : own) sources.emplace_back(view, false);
  }
  const Sink<T> value(call.value);
  const std::vector<Sink<T>> grad(call.grad.begin(), call.grad.end()), hess(call.hess.begin(), call.hess.end());
  const auto all = [](const auto& range, auto&& is) { return std::all_of(range.begin(), range.end(), is); };
  const auto in_place_already = [](const auto& each) { return each.in_place(); };

  const bool in_place =
      terms == 1 && all(sources, in_place_already) && value.in_place() && all(grad, in_place_already) && all(hess, in_place_already);
  const std::size_t block_size = pyloss::block_size<T>(call.value || !grad.empty() || !hess.empty());
  const std::size_t step = in_place ? chunk_size : block_size;
  const std::size_t results = 1 + grad.size() + hess.size();
  const std::size_t threads = std::clamp<std::size_t>(chunks, 1, static_cast<std::size_t>(std::max(call.threads, 1)));
  std::vector<Scratch<T>> scratch;
  scratch.reserve(threads);
  for (std::size_t i = 0; i < threads; ++i) scratch.emplace_back(in_place ? 0 : sources.size() + results, block_size, results, terms);
  std::vector<double> sums(chunks * terms);

  const bool done = for_each_chunk(chunks, static_cast<int>(threads), interrupt, [&](std::size_t chunk, int thread) {
    Scratch<T>& own = scratch[static_cast<std::size_t>(thread)];
    const auto scratch_block = [&](std::size_t i) { return in_place ? nullptr : own.block(i); };
    // The value, the gradients, the Hessians.
    const auto result_block = [&](std::size_t result) { return scratch_block(sources.size() + result); };
    own.clear();
    Block<T> block;
    const std::size_t end = std::min((chunk + 1) * chunk_size, size);
    for (std::size_t begin = chunk * chunk_size; begin < end; begin += step) {
      block.size = std::min(step, end - begin);
      const auto source = [&](std::size_t i) { return sources[i].block(begin, block.size, scratch_block(i)); };
      for (std::size_t i = 0; i < inputs; ++i) block.input[i] = source(i);
      if (call.weight) block.weight = source(inputs);
      std::size_t next = inputs + 1;
      for (std::size_t term = 0; term < terms; ++term) {
        const Entry<T>& entry = table[components[term].entry];
        for (std::size_t i = inputs; i < entry.inputs; ++i) block.input[i] = source(next++);
        const double scale = call.scale[term];
        const bool first = term == 0, last = term + 1 == terms;
        const auto output = [&](const Sink<T>& sink, std::size_t result) {
          return sink.block(begin, result_block(result), scale, first, last);
        };
        block.surrogate = call.surrogate[term];
        // The memory would idle during the last of four terms (one thread: 14.8 instead of 10.8 ms).
        block.share = {.start = block_size * sizeof(T) * term / terms, .pace = simd::group_bytes / terms};
        if (call.value) block.value = output(value, 0);
        for (std::size_t k = 0; k < grad.size(); ++k) block.grad[k] = output(grad[k], 1 + k);
        for (std::size_t k = 0; k < hess.size(); ++k) block.hess[k] = output(hess[k], 1 + grad.size() + k);
        run_block(entry, call.want, components[term].parameters.data(), block, own.sums(term));
      }
      value.finish(begin, block.size, result_block(0), own.joined(0));
      for (std::size_t k = 0; k < grad.size(); ++k) grad[k].finish(begin, block.size, result_block(1 + k), own.joined(1 + k));
      for (std::size_t k = 0; k < hess.size(); ++k)
        hess[k].finish(begin, block.size, result_block(1 + grad.size() + k), own.joined(1 + grad.size() + k));
    }
    own.finish();
    for (std::size_t term = 0; term < terms; ++term) sums[chunk * terms + term] = simd::Sum<T>::merge(own.sums(term));
  });

  for (std::size_t i = 0; i < sums.size(); ++i) totals[i % terms] += sums[i];
  return done;
}

template <class T>
class Values final : public Columns {
 public:
  Values(std::span<const Component> components, const ElementwiseCall& call, const std::vector<View>& others)
      : components_(components), inputs_(call.inputs.size()), others_(columns_of(others)) {
    for (const View& view : call.inputs) sources_.emplace_back(view, true);
    for (const auto& own : call.own_inputs) {
      for (const View& view : own) sources_.emplace_back(view, false);
    }
    scratch_ = Buffer<T>((sources_.size() + components.size()) * block_elements);
  }

  void read(std::size_t begin, std::size_t count) override {
    const auto table = elementwise_table<T>();
    const auto source = [&](std::size_t i) { return sources_[i].block(begin, count, block(i)); };
    Block<T> at;
    at.size = count;
    for (std::size_t i = 0; i < inputs_; ++i) at.input[i] = source(i);
    std::size_t next = inputs_;
    for (std::size_t term = 0; term < components_.size(); ++term) {
      const Entry<T>& entry = table[components_[term].entry];
      for (std::size_t i = inputs_; i < entry.inputs; ++i) at.input[i] = source(next++);
      at.value = {.to = block(sources_.size() + term)};
      double sums[simd::Sum<T>::size] = {};
      run_block(entry, Want::value, components_[term].parameters.data(), at, sums);
    }
    others_->read(begin, count);
  }

  Numbers column(std::size_t c) const override {
    if (c >= components_.size()) return others_->column(c - components_.size());
    const T* const values = block(sources_.size() + c);
    if constexpr (sizeof(T) == 4) {
      return {values, nullptr};
    } else {
      return {nullptr, values};
    }
  }

 private:
  T* block(std::size_t i) const { return scratch_.data() + i * block_elements; }

  std::span<const Component> components_;
  std::size_t inputs_;
  std::vector<Source<T>> sources_;
  Buffer<T> scratch_;
  std::unique_ptr<Columns> others_;
};

}  // namespace

template <class T>
void run_block(const Entry<T>& entry, Want want, const double* parameters, const Block<T>& all, double* sums) {
  constexpr std::size_t group = simd::group<T>;
  const std::size_t whole = all.size / group * group, rest = all.size - whole;
  const auto kernel = entry.kernel[static_cast<int>(want)];
  if (rest == 0) return kernel(parameters, all, sums);  // without a copy, which would wait for the stores of its parts
  Block<T> block = all;
  block.size = whole;
  kernel(parameters, block, sums);
  block.size = group;
  T inputs[max_inputs][group], weight[group] = {};
  for (std::size_t i = 0; i < entry.inputs; ++i) {
    if (block.input[i].mask == 0) continue;
    const T* const from = block.input[i].at + whole;
    std::fill(std::copy_n(from, rest, inputs[i]), inputs[i] + group, *from);
    block.input[i].at = inputs[i];
  }
  for (std::size_t i = 0; i < rest; ++i) weight[i] = block.weight.at ? block.weight.at[(whole + i) & block.weight.mask] : T{1};
  block.weight = {weight};
  std::array<Output<T>*, 1 + 2 * max_gradients> outputs{&block.value};
  for (std::size_t k = 0; k < max_gradients; ++k) outputs[1 + k] = &block.grad[k], outputs[1 + max_gradients + k] = &block.hess[k];
  T before[outputs.size()][group] = {}, result[outputs.size()][group], *to[outputs.size()];
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    Output<T>& output = *outputs[k];
    to[k] = output.to;
    if (!output.to) continue;
    if (output.add) std::copy_n(output.add + whole, rest, before[k]), output.add = before[k];
    output.to = result[k], output.stream = false;
  }
  kernel(parameters, block, sums);
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    if (to[k]) std::copy_n(result[k], rest, to[k] + whole);
  }
}

template void run_block(const Entry<float>&, Want, const double*, const Block<float>&, double*);
template void run_block(const Entry<double>&, Want, const double*, const Block<double>&, double*);

std::unique_ptr<Columns> values_of(std::span<const Component> components, const ElementwiseCall& call, const std::vector<View>& others) {
  if (call.float64) return std::make_unique<Values<double>>(components, call, others);
  return std::make_unique<Values<float>>(components, call, others);
}

bool run_elementwise(std::span<const Component> components, const ElementwiseCall& call, Interrupt& interrupt, std::span<double> totals) {
  return call.float64 ? run<double>(components, call, interrupt, totals) : run<float>(components, call, interrupt, totals);
}

}  // namespace pyloss
