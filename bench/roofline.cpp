// What this machine can do at most: bandwidth of two streams read and one written past the caches, of reading alone, and fused
// multiply-adds. Knows nothing of pyloss.
#include <omp.h>

#include <chrono>
#include <cstddef>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr std::size_t width = 64;
#elif defined(__AVX__)
constexpr std::size_t width = 32;
#else
constexpr std::size_t width = 16;
#endif
using Vector [[gnu::vector_size(width)]] = float;
constexpr std::size_t lanes = width / sizeof(float);

static Vector load(const float* from) {
  Vector a;
  std::memcpy(&a, from, sizeof a);
  return a;
}

static void stream(float* to, Vector a) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, a);
#elif defined(__AVX__)
  _mm256_stream_ps(to, a);
#elif defined(__x86_64__)
  _mm_stream_ps(to, a);
#else
  std::memcpy(to, &a, sizeof a);
#endif
}

/// Asks for what will be read 2 KiB further on: without, two streams alone do not keep the memory busy.
static void ahead(const float* at) { __builtin_prefetch(at + 512, 0, 2); }

static double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

extern "C" {

/// Seconds to do c = a + b over n floats; c must be aligned to 64 bytes.
double read_read_stream(const float* a, const float* b, float* c, std::size_t n, int threads) {
  const double start = seconds();
#pragma omp parallel for num_threads(threads) schedule(static)
  for (std::size_t block = 0; block < n; block += 16384) {
    const std::size_t end = block + 16384 < n ? block + 16384 : n;
    for (std::size_t i = block; i + lanes <= end; i += lanes) stream(c + i, load(a + i) + load(b + i));
  }
  return seconds() - start;
}

/// Seconds to read n floats of a and of b.
double read_read(const float* a, const float* b, std::size_t n, int threads, float* sink) {
  const double start = seconds();
  Vector total{};
#pragma omp parallel num_threads(threads)
  {
    Vector s[4] = {};
#pragma omp for schedule(static)
    for (std::size_t block = 0; block < n; block += 16384) {
      const std::size_t end = block + 16384 < n ? block + 16384 : n;
      for (std::size_t i = block; i + 2 * lanes <= end; i += 2 * lanes) {
        for (std::size_t line = 0; line < 2 * lanes; line += 16) ahead(a + i + line), ahead(b + i + line);
        s[0] += load(a + i);
        s[1] += load(b + i);
        s[2] += load(a + i + lanes);
        s[3] += load(b + i + lanes);
      }
    }
#pragma omp critical
    total += s[0] + s[1] + s[2] + s[3];
  }
  const double took = seconds() - start;
  *sink = total[0];
  return took;
}

/// Multiply-adds (two operations each) done a second, in units of 1e9.
double fma_peak(int threads, float* sink) {
  constexpr int chains = 12;
  constexpr long rounds = 4'000'000;
  Vector total{};
  const double start = seconds();
#pragma omp parallel num_threads(threads)
  {
    Vector a[chains], x, y;
    for (std::size_t i = 0; i < lanes; ++i) x[i] = 0.999F, y[i] = 1e-6F;
    for (auto& v : a) v = x;
    for (long r = 0; r < rounds; ++r) {
      for (auto& v : a) v = v * x + y;
    }
#pragma omp critical
    for (auto& v : a) total += v;
  }
  const double took = seconds() - start;
  *sink = total[0];
  return 2.0 * lanes * chains * rounds * threads / took / 1e9;
}
}
