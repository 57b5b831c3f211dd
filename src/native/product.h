// A small matrix product, all of it in registers. Included once for each set of instructions, and so
// it includes no header with inline functions: the linker could pick one built for AVX-512 on behalf of
// the whole program.

namespace {

// Floats that are multiplied at once: N of them where registers are that wide, else eight. Types of their
// own, since GCC forgets a vector's size and alignment where they depend on a template's parameter.
typedef float eight_t __attribute__((vector_size(32)));
typedef eight_t eight_any __attribute__((aligned(4), may_alias));
template <int N>
struct Widest {
  typedef eight_t vector;
  typedef eight_any any;  // anywhere in memory
};
#ifdef WIDE
typedef float sixteen_t __attribute__((vector_size(64)));
typedef sixteen_t sixteen_any __attribute__((aligned(4), may_alias));
template <>
struct Widest<16> {
  typedef sixteen_t vector;
  typedef sixteen_any any;
};
#endif

// m[R][N] = v[R][depth] * u[depth][N]. Rows of v lie `step` apart. N is 8 or 16; all of m
// has to fit the registers.
template <int N, int R>
static INLINE void multiply(const float* v, long step, const float* u, int depth, float* m) {
  typedef typename Widest<N>::vector vector;
  typedef typename Widest<N>::any any;
  constexpr int L = sizeof(vector) / 4, NV = N / L;
  static_assert(L * NV == N && NV <= 2 && R * NV <= 12, "registers for all of m");
  vector sum[R * NV];
#pragma GCC unroll 12
  for (int i = 0; i < R * NV; i++) sum[i] = vector{};
  for (int k = 0; k < depth; k++) {
    const float* row = u + (long)k * N;
    const vector w[2] = {*(const any*)row, *(const any*)(row + (NV - 1) * L)};
#pragma GCC unroll 12
    for (int i = 0; i < R * NV; i++) sum[i] += w[i % NV] * v[i / NV * step + k];
  }
#pragma GCC unroll 12
  for (int i = 0; i < R * NV; i++) *(any*)(m + i * L) = sum[i];
}

#ifdef WIDE
// The same for two blocks of sixteen columns each: twice as much for what is read of v.
template <int R>
static INLINE void multiply_two(const float* v, long step,
                                const float* u0, const float* u1,
                                int depth, float* m0, float* m1) {
  sixteen_t sum[R * 2];
#pragma GCC unroll 24
  for (int i = 0; i < R * 2; i++) sum[i] = sixteen_t{};
  for (int k = 0; k < depth; k++) {
    const sixteen_t w[2] = {*(const sixteen_any*)(u0 + (long)k * 16),
                            *(const sixteen_any*)(u1 + (long)k * 16)};
#pragma GCC unroll 24
    for (int i = 0; i < R * 2; i++) sum[i] += w[i % 2] * v[i / 2 * step + k];
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; r++) {
    *(sixteen_any*)(m0 + r * 16) = sum[2 * r];
    *(sixteen_any*)(m1 + r * 16) = sum[2 * r + 1];
  }
}
#endif

}  // namespace
