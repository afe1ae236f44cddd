#include "../kernels/elementwise.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include "../kernels/weights.hpp"
#include "arrays.hpp"
#include "tally.hpp"

namespace pyloss::bindings {

namespace {

/// Up to here a call is so short that neither threads nor releasing the GIL pay.
constexpr py::ssize_t small_size = 8192;

/// A sum of losses, ready to be called.
class Plan {
 public:
  /// Each term: kernel, parameters, coefficient, and its own inputs if all of them are single numbers.
  using Term = std::tuple<std::string, std::vector<double>, double, std::optional<std::vector<double>>>;

  explicit Plan(const std::vector<Term>& terms) {
    for (const auto& [name, parameters, coefficient, constants] : terms) {
      components_.push_back({find_kernel(elementwise_table<double>(), name, parameters), parameters});
    }
    const auto& [name, parameters, coefficient, constants] = terms.at(0);
    coefficient_ = coefficient;
    if (terms.size() == 1 && constants) {
      constants_ = *constants;
      const auto& entry = elementwise_table<double>()[components_[0].entry];
      small_ = entry.inputs == 2 + constants_.size() && entry.gradients == 1;
    }
  }

  /// The whole call for few elements in plain arrays of one float type; None for anything else. `out` may take the gradient.
  py::object small(py::handle pred, py::handle target, int want, py::handle reduction, py::handle out) const {
    const auto& api = py::detail::npy_api::get();
    const bool mean = is(reduction, "mean");
    if (!mean && !is(reduction, "sum")) return py::none();
    if (!small_ || Py_TYPE(pred.ptr()) != api.PyArray_Type_ || Py_TYPE(target.ptr()) != api.PyArray_Type_) return py::none();
    const auto* p = py::detail::array_proxy(pred.ptr());
    const auto* t = py::detail::array_proxy(target.ptr());
    constexpr int plain = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    if (!alike(p, t) || (p->flags & t->flags & plain) != plain) return py::none();
    const py::ssize_t size = std::accumulate(p->dimensions, p->dimensions + p->nd, py::ssize_t{1}, std::multiplies{});
    if (size > small_size) return py::none();
    if (!out.is_none()) {
      constexpr int writeable = plain | py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
      if (Py_TYPE(out.ptr()) != api.PyArray_Type_) return py::none();
      const auto* o = py::detail::array_proxy(out.ptr());
      const auto bytes = size * py::reinterpret_borrow<py::array>(pred).itemsize();
      const auto apart = [&](const char* input) { return o->data + bytes <= input || input + bytes <= o->data; };
      if (!alike(p, o) || (o->flags & writeable) != writeable || !apart(t->data) || (o->data != p->data && !apart(p->data)))
        return py::none();
    }
    static const PyObject* const float32 = py::dtype::of<float>().release().ptr();
    static const PyObject* const float64 = py::dtype::of<double>().release().ptr();
    if (p->descr == float32) return run_small<float>(p, t, static_cast<std::size_t>(size), static_cast<Want>(want), mean, out);
    if (p->descr == float64) return run_small<double>(p, t, static_cast<std::size_t>(size), static_cast<Want>(want), mean, out);
    return py::none();
  }

  /// Adds up the values of the terms, and columns behind them.
  bool tally(const std::vector<Operand>& inputs, const std::vector<std::vector<Operand>>& own_inputs, bool float64,
             const std::vector<Operand>& columns, const MaybeOperand& weight, const std::optional<GroupsOfRows>& groups, py::array sums,
             int threads) const {
    const py::array& pred = inputs.at(0).first;
    const std::vector<std::size_t> shape(pred.shape(), pred.shape() + pred.ndim());
    ElementwiseCall call;
    set_inputs(call, inputs, own_inputs, shape);
    call.float64 = float64;
    const auto rows = static_cast<std::size_t>(pred.size());
    const std::vector<View> others = columns_of_rows(columns, rows);
    const auto make = [&] { return values_of(components_, call, others); };
    return tally_columns(make, components_.size() + others.size(), rows, weight, groups, sums, threads);
  }

  std::vector<double> run(const std::vector<Operand>& inputs, const std::vector<std::vector<Operand>>& own_inputs,
                          const MaybeOperand& weight, const MaybeOperand& value, const std::vector<Operand>& grad,
                          const std::vector<Operand>& hess, const std::vector<std::pair<double, double>>& surrogate,
                          const std::vector<double>& scale, int want, bool float64, int threads) const {
    const py::array& pred = inputs.at(0).first;
    const std::vector<std::size_t> shape(pred.shape(), pred.shape() + pred.ndim());
    ElementwiseCall call;
    set_inputs(call, inputs, own_inputs, shape);
    call.weight = view(weight, shape);
    call.value = view(value, shape);
    for (const Operand& each : grad) call.grad.push_back(view(each, shape));
    for (const Operand& each : hess) call.hess.push_back(view(each, shape));
    for (const auto& [factor, floor] : surrogate) call.surrogate.push_back({.factor = factor, .floor = floor});
    for (const Component& component : components_) {
      const std::size_t gradients = elementwise_table<double>()[component.entry].gradients;
      if (call.grad.size() != (want >= 1 ? gradients : 0) || call.hess.size() != (want >= 2 ? gradients : 0))
        throw std::logic_error("wrong number of gradients");
    }
    call.scale = scale;
    call.want = static_cast<Want>(want);
    call.float64 = float64;
    call.threads = threads;
    if (scale.size() != components_.size() || surrogate.size() != components_.size())
      throw std::logic_error("one scale and one surrogate for each term");
    std::vector<double> totals(components_.size());
    without_gil([&](Interrupt& interrupt) { return run_elementwise(components_, call, interrupt, totals); });
    return totals;
  }

 private:
  void set_inputs(ElementwiseCall& call, const std::vector<Operand>& inputs, const std::vector<std::vector<Operand>>& own_inputs,
                  const std::vector<std::size_t>& shape) const {
    for (const Operand& input : inputs) call.inputs.push_back(view(input, shape));
    for (std::size_t term = 0; term < components_.size(); ++term) {
      auto& own = call.own_inputs.emplace_back();
      for (const Operand& input : own_inputs.at(term)) own.push_back(view(input, shape));
      if (inputs.size() + own.size() != elementwise_table<double>()[components_[term].entry].inputs)
        throw std::logic_error("wrong number of inputs");
    }
  }

  static bool is(py::handle text, const char* word) {
    return PyUnicode_Check(text.ptr()) && PyUnicode_CompareWithASCIIString(text.ptr(), word) == 0;
  }

  /// Whether the two are of one type and shape.
  static bool alike(const py::detail::PyArray_Proxy* a, const py::detail::PyArray_Proxy* b) {
    return a->descr == b->descr && a->nd == b->nd && std::equal(a->dimensions, a->dimensions + a->nd, b->dimensions);
  }

  template <class T>
  static T* data(const py::detail::PyArray_Proxy* array) {
    return reinterpret_cast<T*>(array->data);
  }

  /// An array like `pred`, not yet filled.
  static py::object like(const py::detail::PyArray_Proxy* pred) {
    const auto& api = py::detail::npy_api::get();
    Py_INCREF(pred->descr);
    PyObject* array = api.PyArray_NewFromDescr_(api.PyArray_Type_, pred->descr, pred->nd, pred->dimensions, nullptr, nullptr, 0, nullptr);
    if (!array) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(array);
  }

  template <class T>
  py::object run_small(const py::detail::PyArray_Proxy* pred, const py::detail::PyArray_Proxy* target, std::size_t size, Want want,
                       bool mean, py::handle out) const {
    const double scale = mean ? (size ? coefficient_ / static_cast<double>(size) : 0.0) : coefficient_;
    Block<T> block;
    block.size = size;
    block.input[0] = {data<T>(pred)};
    block.input[1] = {data<T>(target)};
    std::array<Constant<T>, max_inputs - 2> constants{Constant<T>(0.0), Constant<T>(0.0)};
    for (std::size_t i = 0; i < constants_.size(); ++i) {
      constants[i] = Constant<T>(constants_[i]);
      block.input[2 + i] = constants[i];
    }
    py::object grad, hess;
    if (want >= Want::grad) {
      grad = out.is_none() ? like(pred) : py::reinterpret_borrow<py::object>(out);
      block.grad[0] = {.to = data<T>(py::detail::array_proxy(grad.ptr())), .scale = static_cast<T>(scale)};
    }
    if (want >= Want::hess) {
      hess = like(pred);
      block.hess[0] = {.to = data<T>(py::detail::array_proxy(hess.ptr())), .scale = static_cast<T>(scale)};
    }
    double sums[simd::Sum<T>::size] = {};
    run_block(elementwise_table<T>()[components_[0].entry], want, components_[0].parameters.data(), block, sums);
    const double value = simd::Sum<T>::merge(sums) * scale;
    if (want == Want::value) return py::float_(value);
    if (want == Want::grad) return py::make_tuple(value, std::move(grad));
    return py::make_tuple(value, std::move(grad), std::move(hess));
  }

  std::vector<Component> components_;
  double coefficient_ = 1.0;
  std::vector<double> constants_;
  bool small_ = false;
};

}  // namespace

void bind_elementwise(py::module_& m) {
  m.def(
      "elementwise_losses",
      [] {
        return by_name(elementwise_table<double>(),
                       [](const auto& entry) { return py::make_tuple(entry.parameters, entry.inputs, entry.gradients); });
      },
      "Name -> numbers of parameters, inputs and gradients of every elementwise kernel.");

  m.def(
      "check_weights",
      [](const Operand& weight, const std::vector<std::size_t>& shape, int threads) {
        const View weights = view(weight, shape);
        const Checked checked = without_gil([&](Interrupt& interrupt) { return check_weights(weights, threads, interrupt); });
        return py::make_tuple(checked.first_bad, checked.total);
      },
      py::arg("weight"), py::arg("shape"), py::arg("threads"),
      "First index of a negative or non-finite weight, if any, and the sum of the weights broadcast to `shape`.");

  py::class_<Plan>(m, "ElementwisePlan", py::module_local(), "A sum of elementwise losses, ready to be called.")
      .def(py::init<const std::vector<Plan::Term>&>(), py::arg("terms"))
      .def("small", &Plan::small)
      .def("tally", &Plan::tally, py::arg("inputs"), py::arg("own_inputs"), py::arg("float64"), py::arg("columns"), py::arg("weight"),
           py::arg("groups"), py::arg("sums"), py::arg("threads"))
      .def("run", &Plan::run, py::arg("inputs"), py::arg("own_inputs"), py::arg("weight"), py::arg("value"), py::arg("grad"),
           py::arg("hess"), py::arg("surrogate"), py::arg("scale"), py::arg("want"), py::arg("float64"), py::arg("threads"));
}

}  // namespace pyloss::bindings
