// Whole pictures, shared among as many threads as libtorch has.
#include "kernels.h"

#include <cstdlib>
#include <string>

namespace refvsr {

// Those of the best set that this processor has, or of a lesser one that REFVSR_CPU names (baseline or
// avx2), for tests.
static Kernels chosen() {
#if defined(__x86_64__)
  const char* named = std::getenv("REFVSR_CPU");
  const std::string most = named ? named : "";
  __builtin_cpu_init();
  if (most != "baseline" && most != "avx2" && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    return kernels_avx512();
  if (most != "baseline" && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return kernels_avx2();
#endif
  return kernels_baseline();
}

static const Kernels& kernels() {
  static const Kernels all = chosen();
  return all;
}

// A thread's working memory, kept from call to call.
struct Scratch {
  float* data = nullptr;
  size_t size = 0;

  float* of(size_t floats) {
    if (floats > size) {
      std::free(data);
      const size_t bytes = (floats * sizeof(float) + 63) / 64 * 64;
      data = static_cast<float*>(std::aligned_alloc(64, bytes));
      size = data ? floats : 0;
      for (size_t i = 0; data && i < floats; i++) data[i] = 0.0f;
    }
    return data;
  }

  ~Scratch() { std::free(data); }
};

}  // namespace refvsr

using namespace refvsr;

// 0 when done, 1 when *stop was set meanwhile, 2 where memory ran out.
extern "C" int refvsr_winograd(const Job* job, int threads, const volatile unsigned char* stop) {
  const int tiles = ((job->height + TILE - 1) / TILE) * ((job->width + TILE - 1) / TILE);
  // As many tiles at a time as keep their points in a core's own cache, and every thread busy.
  int most = job->depth > 32 ? ROWS : 2 * ROWS;
  if (tiles < 2 * most * threads) most = ROWS;
  const size_t floats =
      POINTS * ((size_t)most * job->depth + 16) + POINTS * ((size_t)most * BLOCK + 16);
  const int blocks = (tiles + most - 1) / most;
  int status = 0;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (blocks > 1)
  for (int b = 0; b < blocks; b++) {
    static thread_local Scratch scratch;
    if (stop && *stop) {
#pragma omp atomic write
      status = 1;
      continue;
    }
    float* memory = scratch.of(floats);
    if (!memory) {
#pragma omp atomic write
      status = 2;
      continue;
    }
    const int first = b * most, left = tiles - first;
    kernels().winograd(*job, first, left < most ? left : most, most, memory);
  }
  return status;
}

// 0 when done, 1 when *stop was set meanwhile.
extern "C" int refvsr_sample(const Sampling* sampling, long samples, int threads,
                             const volatile unsigned char* stop) {
  const long part = 2048, parts = (samples + part - 1) / part;
  int status = 0;
#pragma omp parallel for schedule(static) num_threads(threads) if (parts > 1)
  for (long p = 0; p < parts; p++) {
    if (stop && *stop) {
#pragma omp atomic write
      status = 1;
      continue;
    }
    const long first = p * part, left = samples - first;
    kernels().sample(*sampling, first, left < part ? left : part);
  }
  return status;
}

// 0 when done, 1 when *stop was set meanwhile, 2 where memory ran out.
extern "C" int refvsr_rows(const Rows* job, long rows, int threads,
                           const volatile unsigned char* stop) {
  const size_t floats = (size_t)job->width * ((job->channels + BLOCK - 1) / BLOCK * BLOCK) +
                        (size_t)(job->in_width + 2 * job->side) * job->depth;
  int status = 0;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (rows > 1)
  for (long row = 0; row < rows; row++) {
    static thread_local Scratch scratch;
    float* sums = scratch.of(floats);
    if (!sums || (stop && *stop)) {
#pragma omp atomic write
      status = sums ? 1 : 2;
      continue;
    }
    kernels().rows(*job, row, sums);
  }
  return status;
}

// 0 when done, 1 when *stop was set meanwhile, 2 where memory ran out.
extern "C" int refvsr_blur(const Blur* blur, long rows, int threads,
                           const volatile unsigned char* stop) {
  const long part = 16, parts = (rows + part - 1) / part;
  int status = 0;
#pragma omp parallel for schedule(static) num_threads(threads) if (parts > 1)
  for (long p = 0; p < parts; p++) {
    static thread_local Scratch scratch;
    float* memory = scratch.of((size_t)blur->width + blur->taps);
    if (!memory || (stop && *stop)) {
#pragma omp atomic write
      status = memory ? 1 : 2;
      continue;
    }
    for (long row = p * part; row < rows && row < (p + 1) * part; row++)
      kernels().blur(*blur, row, memory);
  }
  return status;
}

// 0 when done, 1 when *stop was set meanwhile.
extern "C" int refvsr_match(const Matching* job, long queries, int threads,
                            const volatile unsigned char* stop) {
  const long parts = (queries + MATCH_ROWS - 1) / MATCH_ROWS;
  int status = 0;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (parts > 1)
  for (long p = 0; p < parts; p++) {
    if (stop && *stop) {
#pragma omp atomic write
      status = 1;
      continue;
    }
    // The last part starts earlier, so that it is whole too.
    const long start = p * MATCH_ROWS, last = queries - MATCH_ROWS;
    const long first = start < last ? start : last;
    kernels().match(*job, first, (int)(start - first));
  }
  return status;
}
