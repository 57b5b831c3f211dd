/* Preloaded, it makes threads meet at moments at which they hardly ever do: GLib's locks and signals, which
 * GStreamer is made of, sleep at random.
 *
 * CHAOS: one call in so many sleeps (300). CHAOS_US: for so many microseconds at the most (3000), or twenty times as
 * many once in sixteen times. The library takes its places from the clock: no two runs are alike. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t number(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  uint64_t given = text ? strtoull(text, NULL, 10) : 0;
  return given ? given : otherwise;
}

static uint64_t period, longest;

__attribute__((constructor)) static void configure(void) {
  period = number("CHAOS", 300);
  longest = number("CHAOS_US", 3000);
}

static uint64_t random_number(void) {
  static __thread uint64_t state;
  if (!state) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    state = (uint64_t)now.tv_nsec * 2654435761u + (uintptr_t)&state + 1;
  }
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static void sleep_at_random(void) {
  /* Before the constructor has run there is one thread. */
  if (!period || random_number() % period) return;
  uint64_t choice = random_number() >> 16;
  usleep((choice >> 8) % (choice % 16 ? longest : longest * 20));
}

/* The function of this name behind this library. Several threads may look it up at once and find the same. */
#define REAL(name)                            \
  static void (*real)(void *);                \
  if (!real) real = dlsym(RTLD_NEXT, #name);

#define SLEEPS_BEFORE(name) \
  void name(void *object) { \
    REAL(name)              \
    sleep_at_random();      \
    real(object);           \
  }

#define SLEEPS_AFTER(name)  \
  void name(void *object) { \
    REAL(name)              \
    real(object);           \
    sleep_at_random();      \
  }

SLEEPS_BEFORE(g_mutex_lock)
SLEEPS_BEFORE(g_rec_mutex_lock)
SLEEPS_BEFORE(g_cond_signal)
SLEEPS_BEFORE(g_cond_broadcast)
SLEEPS_AFTER(g_mutex_unlock)
SLEEPS_AFTER(g_rec_mutex_unlock)
