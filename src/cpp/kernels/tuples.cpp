#include "tuples.hpp"

#include <array>
#include <memory>
#include <stdexcept>

#include "../losses/registry.hpp"
#include "prepared.hpp"

namespace pyloss {

namespace {

/// Rows by their indices, as they came or divided by their lengths.
template <class T>
class Source {
 public:
  Source(const Matrix& from, bool normalised, int threads, Interrupt& interrupt) : from_(from) {
    if (normalised) prepared_ = std::make_unique<Prepared<T>>(from, true, std::vector<double>{}, threads, interrupt);
  }

  std::size_t count() const { return from_.count; }
  const T* row(std::size_t i) const { return prepared_ ? prepared_->row(i) : static_cast<const T*>(from_.data) + i * from_.stride; }
  bool zero(std::size_t i) const { return prepared_ && prepared_->lengths[i] == 0.0; }
  void carry_back(std::size_t i, double scale, const double* from, T* to) const {
    if (prepared_) return prepared_->carry_back(i, scale, from, to);
    for (std::size_t k = 0; k < from_.depth; ++k) to[k] = static_cast<T>(scale * from[k]);
  }

 private:
  Matrix from_;
  std::unique_ptr<Prepared<T>> prepared_;
};

template <class T, class Loss>
class Tuples {
 public:
  Tuples(const TuplesCall& call, const Loss& loss, Measure measure, Interrupt& interrupt)
      : call_(call), loss_(loss), measure_(measure), interrupt_(interrupt), edges_(loss.edges()), slopes_(call.count * edges_) {
    for (const Matrix& input : call.inputs) sources_.emplace_back(input, measure.normalised, call.threads, interrupt);
  }

  bool find_terms(double& value, double& count) {
    std::vector<double> counts(divide_up(call_.count, chunk), 0.0), values(counts);
    const bool done = for_each_chunk(counts.size(), call_.threads, interrupt_, [&](std::size_t unit, int) {
      for (std::size_t t = unit * chunk; t < std::min(call_.count, (unit + 1) * chunk); ++t) {
        std::array<double, Loss::pairs.size()> distances{};
        for (std::size_t e = 0; e < edges_; ++e) distances[e] = distance(t, Loss::pairs[e]);
        const auto term = loss_(distances, call_.marks ? call_.marks[t] : 0.0);
        call_.terms[t] = term.value;
        values[unit] += term.value;
        counts[unit] += term.count;
        for (std::size_t e = 0; e < edges_; ++e) slopes_[t * edges_ + e] = slope(distances[e], term.slopes[e]);
      }
    });
    for (std::size_t unit = 0; unit < counts.size(); ++unit) value += values[unit], count += counts[unit];
    return done;
  }

  /// Each row gathers from its tuples in their order, so threads change nothing.
  bool find_gradients(double scale) {
    const std::size_t depth = call_.inputs[0].depth;
    for (std::size_t s = 0; s < sources_.size(); ++s) {
      const std::size_t n = sources_[s].count();
      std::vector<std::size_t> starts(n + 1, 0), ends;
      for_each_end(s, [&](std::size_t row, std::size_t, bool) { ++starts[row + 1]; });
      for (std::size_t i = 0; i < n; ++i) starts[i + 1] += starts[i];
      std::vector<std::size_t> entries(starts[n]);
      ends.assign(starts.begin(), starts.end() - 1);
      for_each_end(s, [&](std::size_t row, std::size_t edge, bool second) { entries[ends[row]++] = 2 * edge + second; });
      T* const grad = static_cast<T*>(call_.grads[s]);
      constexpr std::size_t rows = 64;
      const bool done = for_each_chunk(divide_up(n, rows), call_.threads, interrupt_, [&](std::size_t unit, int) {
        std::vector<double> total(depth);
        for (std::size_t i = unit * rows; i < std::min(n, (unit + 1) * rows); ++i) {
          std::fill(total.begin(), total.end(), 0.0);
          const T* const own = sources_[s].row(i);
          for (std::size_t at = starts[i]; at < starts[i + 1]; ++at) {
            const std::size_t edge = entries[at] / 2, tuple = edge / edges_;
            const auto& pair = Loss::pairs[edge % edges_];
            const T* const other = row(tuple, entries[at] % 2 ? pair.first : pair.second);
            const double factor = slopes_[edge];
            for (std::size_t k = 0; k < depth; ++k) total[k] += factor * (static_cast<double>(own[k]) - static_cast<double>(other[k]));
          }
          sources_[s].carry_back(i, scale, total.data(), grad + i * depth);
        }
      });
      if (!done) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t chunk = 256;

  std::size_t index(std::size_t tuple, std::size_t place) const {
    return static_cast<std::size_t>(call_.tuples[tuple * call_.sources.size() + place]);
  }
  const T* row(std::size_t tuple, std::size_t place) const { return sources_[call_.sources[place]].row(index(tuple, place)); }

  double distance(std::size_t tuple, std::pair<std::size_t, std::size_t> pair) const {
    const double d = distance_of(measure_.form, square_distance(row(tuple, pair.first), row(tuple, pair.second), call_.inputs[0].depth));
    // A row of zeros is 1 from all.
    const auto zero = [&](std::size_t place) { return sources_[call_.sources[place]].zero(index(tuple, place)); };
    return measure_.form == Form::half_square && (zero(pair.first) || zero(pair.second)) ? 1.0 : d;
  }

  /// By what x - y is multiplied to be the gradient by x.
  double slope(double distance, double derivative) const {
    if (derivative == 0.0) return 0.0;
    if (measure_.form == Form::euclidean) return distance < 4.0 * std::numeric_limits<double>::min() ? 0.0 : derivative / distance;
    return measure_.form == Form::sqeuclidean ? 2.0 * derivative : derivative;
  }

  /// Calls use(row, edge, whether it is the second of its pair) for every end in this source that has a slope.
  template <class Use>
  void for_each_end(std::size_t source, Use&& use) const {
    for (std::size_t edge = 0; edge < slopes_.size(); ++edge) {
      if (slopes_[edge] == 0.0) continue;
      const auto& pair = Loss::pairs[edge % edges_];
      if (call_.sources[pair.first] == source) use(index(edge / edges_, pair.first), edge, false);
      if (call_.sources[pair.second] == source) use(index(edge / edges_, pair.second), edge, true);
    }
  }

  const TuplesCall& call_;
  Loss loss_;
  Measure measure_;
  Interrupt& interrupt_;
  std::size_t edges_;
  std::vector<Source<T>> sources_;
  std::vector<double> slopes_;
};

template <class T, class Loss>
bool run(const TuplesCall& call, Interrupt& interrupt, double& value) {
  Tuples<T, Loss> tuples(call, with_parameters<Loss>(call.parameters), measure_of<Loss>(call.metric), interrupt);
  double total = 0.0, count = 0.0;
  if (!tuples.find_terms(total, count)) return false;
  const double scale = !call.mean ? 1.0 : count > 0.0 ? 1.0 / count : 0.0;
  value = scale == 0.0 ? 0.0 : total * scale;
  return call.grads.empty() || tuples.find_gradients(scale);
}

}  // namespace

std::span<const Signature> tuples_losses() { return signatures(OfTuples{}); }

bool run_tuples(const TuplesCall& call, Interrupt& interrupt, double& value) {
  return with_named(call.loss, OfTuples{}, [&]<class Loss>() {
    return call.inputs[0].float64 ? run<double, Loss>(call, interrupt, value) : run<float, Loss>(call, interrupt, value);
  });
}

}  // namespace pyloss
