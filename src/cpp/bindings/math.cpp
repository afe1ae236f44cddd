// The functions of simd/math.hpp over an array, so that the tests can measure their errors.
#include "../simd/math.hpp"

#include <array>
#include <string>

#include "../simd/lanes.hpp"
#include "arrays.hpp"

namespace pyloss::bindings {

namespace {

template <class T>
using Function = simd::Pack<T> (*)(simd::Pack<T>);

template <class T>
struct Named {
  const char* name;
  Function<T> function;
};

template <class T>
constexpr std::array<Named<T>, 17> functions{{{"atan", simd::atan<T>},
                                              {"erf", simd::erf<T>},
                                              {"exp", simd::exp<T>},
                                              {"expm1", simd::expm1<T>},
                                              {"expm1_above_tangent", simd::expm1_above_tangent<T>},
                                              {"log", simd::log<T>},
                                              {"log1p", simd::log1p<T>},
                                              {"log1p_of_both", [](simd::Pack<T> x) { return simd::log1p_of_both(x, 1.0 + x); }},
                                              {"log_cosh", [](simd::Pack<T> x) { return simd::log_cosh(x).value; }},
                                              {"log_cosh slope", [](simd::Pack<T> x) { return simd::log_cosh(x).slope; }},
                                              {"log_cosh bend", [](simd::Pack<T> x) { return simd::log_cosh(x).bend; }},
                                              {"pow 0.3", [](simd::Pack<T> x) { return simd::pow(x, 0.3); }},
                                              {"pow 2.5", [](simd::Pack<T> x) { return simd::pow(x, 2.5); }},
                                              {"pow 4", [](simd::Pack<T> x) { return simd::pow(x, 4.0); }},
                                              {"sigmoid", simd::sigmoid<T>},
                                              {"softplus", simd::softplus<T>},
                                              {"tanh", simd::tanh<T>}}};

template <class T>
using Array = py::array_t<T, py::array::c_style>;

template <class... Arrays>
void check_alike(const Arrays&... arrays) {
  const std::array sizes{arrays.size()...};
  if (((arrays.ndim() != 1) || ...) || ((arrays.size() != sizes[0]) || ...))
    throw std::logic_error("arrays must have one axis of the same length");
}

template <class T>
void apply(const std::string& name, const Array<T>& x, Array<T>& out) {
  check_alike(x, out);
  for (const auto& [known, function] : functions<T>) {
    if (name != known) continue;
    const T* from = x.data();
    T* to = out.mutable_data();
    const auto size = static_cast<std::size_t>(x.size());
    const auto call = function;
    py::gil_scoped_release released;
    return simd::for_each_pack<T>(size, [&](std::size_t i, auto, auto lanes) { lanes.store(to + i, call(lanes.load(from + i))); });
  }
  throw py::key_error(name);
}

template <class T>
void raise(const Array<T>& x, double y, bool less_one, Array<T>& out) {
  using V = simd::Pack<T>;
  check_alike(x, out);
  const T* from = x.data();
  T* to = out.mutable_data();
  simd::for_each_pack<T>(static_cast<std::size_t>(x.size()), [&](std::size_t i, auto, auto lanes) {
    const V at = lanes.load(from + i);
    lanes.store(to + i, less_one ? simd::expm1(simd::times(simd::log1p_in_two(at), V(y))) : simd::pow(at, y));
  });
}

template <class T>
void times_power(const Array<T>& a, const Array<T>& x, double y, Array<T>& out) {
  check_alike(a, x, out);
  const T *const factors = a.data(), *const from = x.data();
  T* to = out.mutable_data();
  simd::for_each_pack<T>(static_cast<std::size_t>(x.size()), [&](std::size_t i, auto, auto lanes) {
    const auto log = simd::log_of_power(simd::log_in_two(lanes.load(from + i)), y);
    lanes.store(to + i, simd::product(lanes.load(factors + i), 1.0, simd::scaled_exp(log)));
  });
}

template <class T>
void stirling_fall(const Array<T>& z, const Array<T>& t, int order, Array<T>& out) {
  check_alike(z, t, out);
  const T *const from = z.data(), *const by = t.data();
  T* to = out.mutable_data();
  simd::for_each_pack<T>(static_cast<std::size_t>(z.size()), [&](std::size_t i, auto, auto lanes) {
    const simd::StirlingFall<T> fall(lanes.load(from + i), lanes.load(by + i));
    lanes.store(to + i, order == 0 ? fall.value() : order == 1 ? fall.slope().by : fall.bend().by);
  });
}

}  // namespace

void bind_math(py::module_& m) {
  py::list names;
  for (const auto& named : functions<float>) names.append(named.name);
  m.attr("math_functions") = py::tuple(names);
  m.def("math", &apply<float>, py::arg("name"), py::arg("x").noconvert(), py::arg("out").noconvert(), "Applies an elementary function.");
  m.def("math", &apply<double>, py::arg("name"), py::arg("x").noconvert(), py::arg("out").noconvert());
  m.def("power", &raise<float>, py::arg("x").noconvert(), py::arg("y"), py::arg("less_one"), py::arg("out").noconvert(),
        "x^y, or (1 + x)^y - 1.");
  m.def("power", &raise<double>, py::arg("x").noconvert(), py::arg("y"), py::arg("less_one"), py::arg("out").noconvert());
  m.def("stirling_fall", &stirling_fall<float>, py::arg("z").noconvert(), py::arg("t").noconvert(), py::arg("order"),
        py::arg("out").noconvert(), "By how much Stirling's remainder, its slope or bend fall from z to z + t.");
  m.def("stirling_fall", &stirling_fall<double>, py::arg("z").noconvert(), py::arg("t").noconvert(), py::arg("order"),
        py::arg("out").noconvert());
  m.def("times_power", &times_power<float>, py::arg("a").noconvert(), py::arg("x").noconvert(), py::arg("y"), py::arg("out").noconvert(),
        "a x^y, also where x^y alone is out of range.");
  m.def("times_power", &times_power<double>, py::arg("a").noconvert(), py::arg("x").noconvert(), py::arg("y"), py::arg("out").noconvert());
}

}  // namespace pyloss::bindings
