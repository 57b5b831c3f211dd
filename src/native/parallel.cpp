// Whole pictures, shared among as many threads as libtorch has.
#include "kernels.h"

#include <cstdlib>
#include <cstring>

namespace refvsr {

// Kernels that this processor runs.
struct Chosen {
  Kernels kernels;
  bool wide;  // their registers hold sixteen floats
  bool bf16;  // they multiply bf16 by instructions of its own
};

// The sets that REFVSR_CPU may name for tests, the least first. `wide`, in debug builds, is the code for AVX-512
// compiled to AVX2's instructions.
enum Level { BASELINE, AVX2, AVX512, BEST, WIDE_TEST };
#ifdef HAS_WIDE
static const char* const SETS = "baseline, avx2, avx512, wide";
#else
static const char* const SETS = "baseline, avx2, avx512";
#endif

// The set that REFVSR_CPU names; false where it names none that there is. Empty, it names nothing.
static bool named(Level* level) {
  const char* text = std::getenv("REFVSR_CPU");
  *level = BEST;
  if (!text || !*text) return true;
  if (!std::strcmp(text, "baseline"))
    *level = BASELINE;
  else if (!std::strcmp(text, "avx2"))
    *level = AVX2;
  else if (!std::strcmp(text, "avx512"))
    *level = AVX512;
#ifdef HAS_WIDE
  else if (!std::strcmp(text, "wide"))
    *level = WIDE_TEST;
#endif
  else
    return false;
  return true;
}

// The best set that this processor has, of those up to the one that is named.
static Chosen choose() {
  Level most;
  named(&most);
#ifdef HAS_WIDE
  if (most == WIDE_TEST) return {kernels_wide(), true, false};
#endif
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (most >= AVX512 && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    if (most == BEST && __builtin_cpu_supports("avx512bf16"))
      return {kernels_avx512_bf16(), true, true};
    return {kernels_avx512(), true, false};
  }
  if (most >= AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return {kernels_avx2(), false, false};
#endif
  return {kernels_baseline(), false, false};
}

static const Chosen& chosen() {
  static const Chosen all = choose();
  return all;
}

static const Kernels& kernels() { return chosen().kernels; }

// What numbers in bf16 are multiplied by: in registers (AVX512-BF16), or in blocks (AMX).
enum class Bf16Units { NONE, REGISTERS, BLOCKS };

static Bf16Units bf16_units() {
  if (!chosen().bf16) return Bf16Units::NONE;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("amx-bf16")) return Bf16Units::BLOCKS;
#endif
  return Bf16Units::REGISTERS;
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

// Does `parts` parts of a work, each with `floats` numbers of memory of its thread's. 0 when done, 1 when *stop
// was set meanwhile, 2 where memory ran out.
template <typename Work>
static int in_parts(long parts, size_t floats, int threads, const volatile unsigned char* stop,
                    Work work) {
  int status = 0;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (parts > 1)
  for (long p = 0; p < parts; p++) {
    static thread_local Scratch scratch;
    int failed = stop && *stop ? 1 : 0;
    float* memory = failed ? nullptr : scratch.of(floats);
    if (!failed && floats && !memory) failed = 2;
    if (failed) {
#pragma omp atomic write
      status = failed;
      continue;
    }
    work(p, memory);
  }
  return status;
}

}  // namespace refvsr

using namespace refvsr;

// The names that REFVSR_CPU may have.
extern "C" const char* refvsr_cpu_sets() noexcept { return SETS; }

// Whether REFVSR_CPU has one of them, or nothing.
extern "C" int refvsr_cpu_is_known() noexcept {
  Level level;
  return named(&level);
}

extern "C" int refvsr_bf16_units() noexcept { return static_cast<int>(bf16_units()); }

extern "C" int refvsr_has_wide_registers() noexcept { return chosen().wide; }

extern "C" int refvsr_winograd(const Job* job, int threads, const volatile unsigned char* stop) noexcept {
  const int tile = job->tile, points = (tile + 2) * (tile + 2);
  const int tiles = ((job->height + tile - 1) / tile) * ((job->width + tile - 1) / tile);
  // As many tiles at a time as keep their points in a core's own cache, and every thread busy.
  int most = ROWS * (job->depth > 32 ? 1 : 2) * (tile == 4 ? 1 : 2);
  if (tiles < 2 * most * threads) most = ROWS;
  const size_t floats = points * ((size_t)most * (job->depth + BLOCK) + 2 * 16);
  return in_parts((tiles + most - 1) / most, floats, threads, stop, [=](long p, float* memory) {
    const int first = (int)p * most, left = tiles - first;
    kernels().winograd(*job, first, left < most ? left : most, most, memory);
  });
}

extern "C" int refvsr_sample(const Sampling* sampling, long samples, int threads,
                             const volatile unsigned char* stop) noexcept {
  const long part = 2048;
  return in_parts((samples + part - 1) / part, 0, threads, stop, [=](long p, float*) {
    const long first = p * part, left = samples - first;
    kernels().sample(*sampling, first, left < part ? left : part);
  });
}

extern "C" int refvsr_direct(const Direct* job, long rows, int threads,
                             const volatile unsigned char* stop) noexcept {
  // Room for the pixels under a window, with zeros beside the picture.
  const size_t floats = (size_t)(PIXELS + job->kernel) * job->kernel * job->depth;
  const long part = rows < 16 * threads ? 1 : 4;
  return in_parts((rows + part - 1) / part, floats, threads, stop, [=](long p, float* memory) {
    for (long row = p * part; row < rows && row < (p + 1) * part; row++)
      kernels().direct(*job, row, memory);
  });
}

extern "C" int refvsr_blur(const Blur* blur, long rows, int threads,
                           const volatile unsigned char* stop) noexcept {
  const long part = 16;
  const size_t floats = (size_t)blur->width + blur->taps;
  return in_parts((rows + part - 1) / part, floats, threads, stop, [=](long p, float* memory) {
    for (long row = p * part; row < rows && row < (p + 1) * part; row++)
      kernels().blur(*blur, row, memory);
  });
}

extern "C" int refvsr_match(const Matching* job, long queries, int threads,
                            const volatile unsigned char* stop) noexcept {
  const long parts = (queries + MATCH_ROWS - 1) / MATCH_ROWS;
  return in_parts(parts, 0, threads, stop, [=](long p, float*) {
    // The last part starts earlier, so that it is whole too.
    const long start = p * MATCH_ROWS, last = queries - MATCH_ROWS;
    const long first = start < last ? start : last;
    kernels().match(*job, first, (int)(start - first));
  });
}
