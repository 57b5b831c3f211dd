// A small matrix product, all of it in registers. Included once for each set of instructions, and so
// it includes no header with inline functions: the linker could pick one built for AVX-512 on behalf of
// the whole program.

namespace {

// m[R][N] = v[R][depth] * u[depth][N], or that added to m. Rows of v lie `step` apart. N is 8 or 16; R * N / 8
// vectors of eight floats, or R of N where registers are that wide, have to fit the registers.
template <int N, int R, bool ADD = false>
static inline void multiply(const float* v, long step, const float* u, int depth, float* m) {
#ifdef __AVX512F__
  typedef float vector __attribute__((vector_size(4 * N)));
#else
  typedef float vector __attribute__((vector_size(32)));
#endif
  typedef vector any __attribute__((aligned(4), may_alias));
  constexpr int L = sizeof(vector) / 4, NV = N / L;
  vector sum[R][NV];
#pragma GCC unroll 16
  for (int r = 0; r < R; r++)
#pragma GCC unroll 2
    for (int n = 0; n < NV; n++)
      sum[r][n] = ADD ? vector(*(const any*)(m + r * N + n * L)) : vector{};
  for (int k = 0; k < depth; k++) {
    vector w[NV];
#pragma GCC unroll 2
    for (int n = 0; n < NV; n++) w[n] = *(const any*)(u + (long)k * N + n * L);
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      const float factor = v[r * step + k];
#pragma GCC unroll 2
      for (int n = 0; n < NV; n++) sum[r][n] += w[n] * factor;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; r++)
#pragma GCC unroll 2
    for (int n = 0; n < NV; n++) *(any*)(m + r * N + n * L) = sum[r][n];
}

}  // namespace
