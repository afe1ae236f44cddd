#include "../kernels/pairwise.hpp"

#include "../simd/bfloat16.hpp"
#include "arrays.hpp"

namespace pyloss::bindings {

namespace {

using Parameters = std::pair<std::string, double>;

PairwiseCall call_of(const Parameters& metric, const py::array& x, const py::array& y, bool self, bool float64, int threads) {
  PairwiseCall call{metric.first, metric.second, rows_of(x), rows_of(y), self, float64, threads};
  if (call.x.depth != call.y.depth || call.x.float64 != call.y.float64) throw std::logic_error("x and y differ in width or type");
  return call;
}

/// The units that this CPU and its operating system have, the best one last.
std::vector<std::string> bfloat16_units() {
  std::vector<std::string> found;
  for (std::size_t i = 0; i < simd::bfloat16::names.size(); ++i) {
    if (simd::bfloat16::has(static_cast<simd::bfloat16::Unit>(i))) found.emplace_back(simd::bfloat16::names[i]);
  }
  return found;
}

void use_bfloat16_unit(const std::string& name) {
  for (std::size_t i = 0; i < simd::bfloat16::names.size(); ++i) {
    const auto unit = static_cast<simd::bfloat16::Unit>(i);
    if (name == simd::bfloat16::names[i] && simd::bfloat16::has(unit)) return simd::bfloat16::unit().store(unit);
  }
  throw py::value_error("no such unit: " + name);
}

}  // namespace

void bind_pairwise(py::module_& m) {
  m.def("bfloat16_units", &bfloat16_units,
        "Instructions for products of bfloat16 that this CPU has and this level uses, the best one last.");
  m.def(
      "bfloat16_unit", [] { return std::string(simd::bfloat16::names[static_cast<std::size_t>(simd::bfloat16::unit().load())]); },
      "The one in use.");
  m.def("use_bfloat16_unit", &use_bfloat16_unit, py::arg("name"), "Chooses another one.");
  m.def(
      "directions",
      [](const py::array& rows, bool centred, int threads) {
        const Matrix from = rows_of(rows);
        py::array_t<double> out(std::vector<std::size_t>{from.count, from.depth + 1});
        double* const to = out.mutable_data();
        without_gil([&](Interrupt& interrupt) { return run_directions(from, centred, threads, to, interrupt); });
        return out;
      },
      py::arg("rows"), py::arg("centred"), py::arg("threads"));

  m.def(
      "pairwise",
      [](const Parameters& metric, const py::array& x, const py::array& y, bool self, bool float64, const Operand& out, int threads) {
        const PairwiseCall call = call_of(metric, x, y, self, float64, threads);
        const View to = view(out, {call.x.count, call.y.count});
        without_gil([&](Interrupt& interrupt) { return run_pairwise(call, to, interrupt); });
      },
      py::arg("metric"), py::arg("x"), py::arg("y"), py::arg("self"), py::arg("float64"), py::arg("out"), py::arg("threads"));

  m.def(
      "nearest",
      [](const Parameters& metric, const py::array& x, const py::array& y, bool self, bool float64, std::size_t k, int threads) {
        const PairwiseCall call = call_of(metric, x, y, self, float64, threads);
        py::array_t<double> distances(std::vector<std::size_t>{call.x.count, k});
        py::array_t<std::int64_t> indices(std::vector<std::size_t>{call.x.count, k});
        const Nearest to{k, distances.mutable_data(), indices.mutable_data()};
        without_gil([&](Interrupt& interrupt) { return run_nearest(call, to, interrupt); });
        return py::make_tuple(distances, indices);
      },
      py::arg("metric"), py::arg("x"), py::arg("y"), py::arg("self"), py::arg("float64"), py::arg("k"), py::arg("threads"));

  m.def(
      "within",
      [](const Parameters& metric, const py::array& x, const py::array& y, bool self, bool float64, double radius, int threads) {
        const PairwiseCall call = call_of(metric, x, y, self, float64, threads);
        Neighbours found;
        without_gil([&](Interrupt& interrupt) { return run_within(call, radius, found, interrupt); });
        std::size_t total = 0;
        py::array_t<std::int64_t> starts(static_cast<py::ssize_t>(call.x.count + 1));
        for (std::size_t i = 0; i <= call.x.count; ++i) {
          starts.mutable_at(static_cast<py::ssize_t>(i)) = static_cast<std::int64_t>(total);
          if (i < call.x.count) total += found.indices[i].size();
        }
        py::array_t<std::int64_t> indices(static_cast<py::ssize_t>(total));
        py::array_t<double> distances(static_cast<py::ssize_t>(total));
        std::int64_t* next_index = indices.mutable_data();
        double* next_distance = distances.mutable_data();
        for (std::size_t i = 0; i < call.x.count; ++i) {
          next_index = std::copy(found.indices[i].begin(), found.indices[i].end(), next_index);
          next_distance = std::copy(found.distances[i].begin(), found.distances[i].end(), next_distance);
        }
        return py::make_tuple(starts, indices, distances);
      },
      py::arg("metric"), py::arg("x"), py::arg("y"), py::arg("self"), py::arg("float64"), py::arg("radius"), py::arg("threads"));

  m.def(
      "paired",
      [](const Parameters& metric, const py::array& x, const py::array& y, int threads) {
        const PairwiseCall call = call_of(metric, x, y, false, false, threads);
        py::array_t<double> out(static_cast<py::ssize_t>(call.x.count));
        double* const to = out.mutable_data();
        without_gil([&](Interrupt& interrupt) { return run_paired(call, to, interrupt); });
        return out;
      },
      py::arg("metric"), py::arg("x"), py::arg("y"), py::arg("threads"));

  m.def(
      "pairwise_vjp",
      [](const Parameters& metric, const py::array& x, const py::array& y, const Operand& cotangent, int threads) {
        const PairwiseCall call = call_of(metric, x, y, false, false, threads);
        py::array_t<double> grad(std::vector<std::size_t>{call.x.count, call.x.depth});
        const View from = view(cotangent, {call.x.count, call.y.count});
        double* const to = grad.mutable_data();
        without_gil([&](Interrupt& interrupt) { return run_pairwise_vjp(call, from, to, interrupt); });
        return grad;
      },
      py::arg("metric"), py::arg("x"), py::arg("y"), py::arg("cotangent"), py::arg("threads"));
}

}  // namespace pyloss::bindings
