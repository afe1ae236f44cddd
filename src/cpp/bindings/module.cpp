// One extension module for each level; PYLOSS_MODULE is its name, PYLOSS_LEVEL the level's.
#include "arrays.hpp"

PYBIND11_MODULE(PYLOSS_MODULE, m, pybind11::mod_gil_not_used()) {
  namespace bindings = pyloss::bindings;
  m.doc() = "pyloss kernels for one micro-architecture level.";
  m.attr("level") = PYLOSS_LEVEL;
  m.attr("compiler") = PYLOSS_COMPILER;
#if defined(_OPENMP)
  m.attr("openmp") = _OPENMP;
  m.def("max_threads", [] { return omp_get_max_threads(); }, "What OpenMP would use now: OMP_NUM_THREADS or threadpoolctl's limit.");
#else
  m.attr("openmp") = 0;
  m.def("max_threads", [] { return 1; }, "1: built without OpenMP.");
#endif
  bindings::bind_elementwise(m);
  bindings::bind_rowwise(m);
  bindings::bind_pairwise(m);
  bindings::bind_embedding(m);
  bindings::bind_tuples(m);
  bindings::bind_covariance(m);
  bindings::bind_penalty(m);
  bindings::bind_combination(m);
  bindings::bind_overlap(m);
  bindings::bind_boxes(m);
  bindings::bind_lovasz(m);
  bindings::bind_ranking(m);
  bindings::bind_quantiles(m);
  bindings::bind_tally(m);
  bindings::bind_math(m);
}
