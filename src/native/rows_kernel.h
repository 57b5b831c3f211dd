// A convolution's output row by row: where channels lie last in memory, the pixels that a row of the window
// covers are one run of numbers, and a few such runs times the weights are a matrix product. Included once for
// each set of instructions, behind product.h.

namespace {

// Numbers of a run that are multiplied at once: their weights then stay in the first cache.
constexpr int RUN = 256;

// Output channels that are computed together from `channel` on.
static inline int block_at(const Rows& job, int channel) {
  return job.channels - channel > LANES ? BLOCK : LANES;
}

// Adds to `width` sums of N output channels each the products of one run of each pixel.
template <int N>
static inline void add_run(const float* v, long step, const float* u, int run, float* sums,
                           int width) {
#ifdef WIDE
  constexpr int R = ROWS;
#else
  constexpr int R = ROWS * 8 / N;
#endif
  int x = 0;
  for (; x + R <= width; x += R) multiply<N, R, true>(v + x * step, step, u, run, sums + x * N);
  for (; x + 2 <= width; x += 2) multiply<N, 2, true>(v + x * step, step, u, run, sums + x * N);
  for (; x < width; x++) multiply<N, 1, true>(v + x * step, step, u, run, sums + x * N);
}

// Row `row` of all pictures' output rows, one after the other. `sums` has room for `width` times the output
// channels, rounded up to BLOCK, and for a row of the input with its zeros.
static void NAME(const Rows& job, long row, float* sums) {
  const int depth = job.depth, length = job.kernel * depth, side = job.side * depth;
  const long picture = row / job.height, line = (long)job.in_width * depth;
  float* padded = sums + (long)job.width * ((job.channels + BLOCK - 1) / BLOCK * BLOCK);
  for (int i = 0; i < side; i++) padded[i] = padded[side + line + i] = 0.0f;
  for (int channel = 0; channel < job.channels; channel += block_at(job, channel)) {
    const int n = block_at(job, channel);
    float* own = sums + (long)channel * job.width;
    for (int x = 0; x < job.width; x++)
      for (int c = 0; c < n; c++) own[x * n + c] = job.bias[channel + c];
  }
  for (int ky = 0; ky < job.kernel; ky++) {
    const long y = row % job.height + ky - job.above;
    if (y < 0 || y >= job.in_height) continue;
    const float* in = job.in + (picture * job.in_height + y) * line;
    for (long i = 0; i < line; i++) padded[side + i] = in[i];
    const float* u = job.weights + (long)ky * length * block_at(job, 0);
    for (int channel = 0; channel < job.channels;) {
      const int n = block_at(job, channel);
      float* own = sums + (long)channel * job.width;
      for (int first = 0; first < length; first += RUN) {
        const int run = length - first < RUN ? length - first : RUN;
        const float* w = u + (long)first * n;
        if (n == BLOCK)
          add_run<BLOCK>(padded + first, depth, w, run, own, job.width);
        else
          add_run<LANES>(padded + first, depth, w, run, own, job.width);
      }
      // The weights of the next block, which may be narrower.
      u += (long)(job.kernel - ky) * length * n;
      channel += n;
      if (channel < job.channels) u += (long)ky * length * block_at(job, channel);
    }
  }
  float* out = job.out + row * job.width * job.channels;
  for (int channel = 0; channel < job.channels; channel += block_at(job, channel)) {
    const int n = block_at(job, channel), left = job.channels - channel, kept = left < n ? left : n;
    const float* own = sums + (long)channel * job.width;
    for (int x = 0; x < job.width; x++)
      for (int c = 0; c < kept; c++) out[x * job.channels + channel + c] = own[x * n + c];
  }
}

}  // namespace
