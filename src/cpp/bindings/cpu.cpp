// What this CPU supports. Built for the baseline, so that it can be imported anywhere.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

namespace {

/// Levels that this CPU and its operating system can run, the best one last.
std::vector<std::string> supported_levels() {
  std::vector<std::string> levels;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!(__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("popcnt"))) return levels;
  levels.push_back("x86-64-v2");
  if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")))
    return levels;
  levels.push_back("x86-64-v3");
  if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))) {
    return levels;
  }
  levels.push_back("x86-64-v4");
#elif defined(__aarch64__)
  levels.push_back("armv8-a");
#endif
  return levels;
}

}  // namespace

PYBIND11_MODULE(_cpu, m, pybind11::mod_gil_not_used()) {
  m.def("supported_levels", &supported_levels, "Levels that this CPU can run, the best one last.");
}
