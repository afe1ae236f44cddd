#include "../kernels/ranking.hpp"

#include "arrays.hpp"

namespace pyloss::bindings {

namespace {

Queries queries_of(const MaybeOperand& ids, std::size_t size) {
  if (!ids) return Queries(size);
  const bool is_unsigned = static_cast<Kind>(ids->second) == Kind::uint64;
  const View each = view(Operand{ids->first, is_unsigned ? static_cast<int>(Kind::int64) : ids->second}, {size});
  return without_gil([&](Interrupt& interrupt) { return Queries(each, is_unsigned, interrupt); });
}

}  // namespace

void bind_ranking(py::module_& m) {
  m.def("ranking_losses", [] { return parameters_by_name(ranking_losses()); }, "Name -> number of parameters of every kernel of lists.");

  py::class_<Queries>(m, "Queries", py::module_local(), "Which items are of the same query, the queries by ascending id; None: all.")
      .def(py::init(&queries_of), py::arg("ids"), py::arg("size"))
      .def_property_readonly("count", &Queries::count, "How many queries there are.");

  m.def(
      "ranking",
      [](const std::string& loss, const std::vector<double>& parameters, const Queries& queries, const Operand& pred, const Operand& target,
         const MaybeOperand& weight, const MaybeOperand& value, const MaybeOperand& grad, const MaybeOperand& hess, bool mean, int want,
         bool float64, int threads) {
        RankingCall call;
        call.loss = loss;
        call.parameters = parameters;
        const std::vector<std::size_t> items{queries.items()}, lists{queries.count()};
        call.pred = view(pred, items);
        call.target = view(target, items);
        call.weight = view(weight, lists);
        call.value = view(value, lists);
        call.grad = view(grad, items);
        call.hess = view(hess, items);
        call.mean = mean;
        call.want = static_cast<Want>(want);
        call.float64 = float64;
        call.threads = threads;
        const RankingResult result = without_gil([&](Interrupt& interrupt) { return run_ranking(call, queries, interrupt); });
        return std::pair(result.value, result.bad_item);
      },
      py::arg("loss"), py::arg("parameters"), py::arg("queries"), py::arg("pred"), py::arg("target"), py::arg("weight"), py::arg("value"),
      py::arg("grad"), py::arg("hess"), py::arg("mean"), py::arg("want"), py::arg("float64"), py::arg("threads"),
      "The reduced value, and the first item whose relevance the loss does not allow, if any: then nothing is written.");
}

}  // namespace pyloss::bindings
