// Numbers in memory: floats, or bf16, the upper half of a float's bits. Included once for each set of instructions.

namespace {

static INLINE float number(unsigned bits) {
  float x;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}

static INLINE float read(const float* p) { return *p; }
static INLINE float read(const unsigned short* p) { return number((unsigned)*p << 16); }
static INLINE void write(float* p, float x) { *p = x; }
// Rounded to the nearest, to an even one of two.
static INLINE void write(unsigned short* p, float x) {
  unsigned bits;
  __builtin_memcpy(&bits, &x, 4);
  *p = (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

// LANES numbers at once.
typedef float lanes_t __attribute__((vector_size(4 * LANES)));
typedef lanes_t lanes_any __attribute__((aligned(4), may_alias));
typedef unsigned bits_t __attribute__((vector_size(4 * LANES)));
typedef unsigned short halves_t __attribute__((vector_size(2 * LANES)));
typedef halves_t halves_any __attribute__((aligned(2), may_alias));

static INLINE lanes_t read_lanes(const float* p) { return *(const lanes_any*)p; }
static INLINE lanes_t read_lanes(const unsigned short* p) {
  return (lanes_t)(__builtin_convertvector(*(const halves_any*)p, bits_t) << 16);
}
static INLINE void write_lanes(float* p, lanes_t x) { *(lanes_any*)p = x; }
static INLINE void write_lanes(unsigned short* p, lanes_t x) {
  const bits_t bits = (bits_t)x;
  *(halves_any*)p = __builtin_convertvector((bits + 0x7fffu + (bits >> 16 & 1)) >> 16, halves_t);
}

}  // namespace
