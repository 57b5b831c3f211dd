// A convolution in its direct form, channels last in memory: some pixels of a row at a time, whose sums stay
// in registers until all that the window covers is added up. In fp32, or in bf16 with fp32 sums. Included once
// for each set of instructions, behind product.h.

namespace {

#ifdef WIDE
constexpr int SUMS = 16;  // output channels that a register holds
#else
constexpr int SUMS = 8;
#endif
// Pixels of a row that are computed at once, with N output channels each; a third of that at the row's end.
constexpr int pixels_at_once(int N) { return SUMS == 16 || N == LANES ? PIXELS : PIXELS / 2; }
constexpr int MOST_RUNS = 64;

typedef Widest<SUMS>::vector sums_t;
typedef Widest<SUMS>::any sums_any;
typedef unsigned pairs_t __attribute__((vector_size(4 * SUMS)));
typedef pairs_t pairs_any __attribute__((aligned(4), may_alias));

// How numbers are stored, and the unit that is multiplied: a number, or two neighbouring channels' bf16. The
// latter is read from memory that holds something else, and that need not lie where an unsigned would.
struct Fp32 {
  typedef float stored;
  typedef float unit;
  typedef sums_t units;
  typedef sums_any units_any;
  static constexpr int OF_UNIT = 1;

  static INLINE void add_products(sums_t& sum, units w, units v) { sum += w * v; }
  static INLINE void add_product(sums_t& sum, units w, unit v) { sum += w * v; }
};

struct Bf16 {
  typedef unsigned short stored;
  typedef unsigned unit __attribute__((aligned(2), may_alias));
  typedef pairs_t units;
  typedef pairs_any units_any;
  static constexpr int OF_UNIT = 2;

  static INLINE void add_products(sums_t& sum, units w, units v) {
#ifdef __AVX512BF16__
    sum = (sums_t)_mm512_dpbf16_ps((__m512)sum, (__m512bh)w, (__m512bh)v);
#else
    sum += (sums_t)(w << 16) * (sums_t)(v << 16);
    sum += (sums_t)(w & 0xffff0000u) * (sums_t)(v & 0xffff0000u);
#endif
  }
  static INLINE void add_product(sums_t& sum, units w, unit v) {
    add_products(sum, w, v - units{});
  }
};

// The sums of R pixels with N output channels each, in registers, of which each holds SUMS channels of one pixel.
template <typename T, int N, int R>
struct Sums {
  static constexpr int NV = (N + SUMS - 1) / SUMS, KEPT = NV * SUMS;
  sums_t sum[R * NV];

  INLINE void begin(const float* bias) {
#pragma GCC unroll 24
    for (int n = 0; n < R * NV; n++) sum[n] = *(const sums_any*)(bias + n % NV * SUMS);
  }

  // Adds a run of `length` units of the first pixel, and of each next one `step` units on. Weights lie in a
  // block of BLOCK or LANES channels, or in two. A register that is wider than its block reads on into the next
  // place's weights; what it makes of them is not kept.
  INLINE void add(const typename T::unit* v, long step, long length,
                  const typename T::unit* first,
                  const typename T::unit* second) {
    const typename T::unit* u[2] = {first, N > BLOCK ? second : first + LANES};
    constexpr long width = N < BLOCK ? N : BLOCK;
    for (long k = 0; k < length; k++) {
      typename T::units w[NV];
#pragma GCC unroll 2
      for (int j = 0; j < NV; j++) w[j] = *(const typename T::units_any*)(u[j] + k * width);
#pragma GCC unroll 24
      for (int n = 0; n < R * NV; n++) T::add_product(sum[n], w[n % NV], v[n / NV * step + k]);
    }
  }

  // All of them, KEPT to a pixel.
  INLINE void write(float* all) const {
#pragma GCC unroll 24
    for (int n = 0; n < R * NV; n++) *(sums_any*)(all + n * SUMS) = sum[n];
  }
};

#ifdef WIDE
// With 24 channels, the last eight of two pixels share a register.
template <typename T, int R>
struct Sums<T, 24, R> {
  static constexpr int KEPT = BLOCK + SUMS;
  typedef int mask_t __attribute__((vector_size(4 * SUMS)));
  sums_t sum[R], shared[R / 2];

  INLINE void begin(const float* bias) {
    sums_t last;
    for (int i = 0; i < SUMS; i++) last[i] = bias[BLOCK + i % LANES];
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) sum[r] = *(const sums_any*)bias;
#pragma GCC unroll 6
    for (int r = 0; r < R / 2; r++) shared[r] = last;
  }

  INLINE void add(const typename T::unit* v, long step, long length,
                  const typename T::unit* first,
                  const typename T::unit* second) {
    typedef typename T::units units;
    typedef typename T::unit eight __attribute__((vector_size(4 * LANES)));
    typedef eight eight_any __attribute__((aligned(4), may_alias));
    const mask_t other = {0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1};
    for (long k = 0; k < length; k++) {
      const units w = *(const typename T::units_any*)(first + k * BLOCK);
      const eight half = *(const eight_any*)(second + k * LANES);
      const units both = __builtin_shufflevector(half, half, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4,
                                                 5, 6, 7);
#pragma GCC unroll 6
      for (int r = 0; r < R; r += 2) {
        const units a = v[r * step + k] - units{}, b = v[(r + 1) * step + k] - units{};
        T::add_products(sum[r], w, a);
        T::add_products(sum[r + 1], w, b);
        T::add_products(shared[r / 2], both, other ? b : a);
      }
    }
  }

  INLINE void write(float* all) const {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) *(sums_any*)(all + r * KEPT) = sum[r];
#pragma GCC unroll 6
    for (int r = 0; r < R / 2; r++) {
      *(sums_any*)(all + 2 * r * KEPT + BLOCK) = shared[r];
      for (int i = 0; i < LANES; i++) all[(2 * r + 1) * KEPT + BLOCK + i] = shared[r][LANES + i];
    }
  }
};
#endif

// What follows the convolution, for the output channels from `channel` on of one pixel.
template <typename T>
static inline void finish(const Direct& job, const float* sum, int lanes, long at) {
  typename T::stored* out = (typename T::stored*)job.out + at;
  const typename T::stored* residual = (const typename T::stored*)job.residual;
  int c = 0;
  for (; c + LANES <= lanes; c += LANES) {
    lanes_t value = read_lanes(sum + c);
    const lanes_t low = value * job.slope;
    value = value > 0.0f ? value : low;
    if (residual) value += read_lanes(residual + at + c);
    write_lanes(out + c, value);
  }
  for (; c < lanes; c++) {
    float value = sum[c] > 0.0f ? sum[c] : sum[c] * job.slope;
    if (residual) value += read(residual + at + c);
    write(out + c, value);
  }
}

// Output channels that are computed together, of group `group` from `channel` on, and the two blocks that their
// weights lie in.
template <typename T>
struct Together {
  const typename T::unit *first, *second;
  const float* bias;
  int group, channel;
};

// R pixels from x on of a row of the output. runs[i] is where the first pixel's i-th run begins, of `kernel`
// pixels of one source in one row; null where that row lies outside.
template <typename T, int N, int R>
static inline void convolve_pixels(const Direct& job, long y, long picture, int x,
                                   const typename T::unit* const* runs, const Together<T>& of) {
  Sums<T, N, R> sums;
  sums.begin(of.bias);
  const typename T::unit *first = of.first, *second = of.second;
  for (int ky = 0, i = 0; ky < job.kernel; ky++) {
    for (int s = 0; s < job.n_sources; s++, i++) {
      const long step = job.sources[s].channels / T::OF_UNIT, length = step * job.kernel;
      if (runs[i]) sums.add(runs[i], step, length, first, second);
      first += length * (N < BLOCK ? N : BLOCK);
      second += length * (N - BLOCK);
    }
  }
  constexpr int KEPT = Sums<T, N, R>::KEPT;
  float all[R * KEPT];
  sums.write(all);
  // Groups are the four pixels that a pixel shuffle makes of one; without a shuffle there is one.
  const int factor = job.groups == 4 ? 2 : 1;
  const int left = job.channels - of.channel, lanes = left < N ? left : N;
  const long row = (picture * job.height + y) * factor + of.group / 2;
  for (int r = 0; r < R && x + r < job.width; r++) {
    const long pixel = row * job.width * factor + (long)(x + r) * factor + of.group % 2;
    finish<T>(job, all + r * KEPT, lanes, pixel * job.channels + of.channel);
  }
}

// R pixels from x on, whose runs are looked up: in the picture, or, where they reach over a side of it, in a
// copy with zeros there.
template <typename T, int N, int R>
static void convolve_at(const Direct& job, long y, long picture, int x, const Together<T>& of,
                        typename T::stored* copy) {
  const typename T::unit* runs[MOST_RUNS];
  const int first = x - job.kernel / 2, pixels = R + job.kernel - 1;
  const bool inside = first >= 0 && first + pixels <= job.width;
  for (int ky = 0, i = 0; ky < job.kernel; ky++) {
    const long line = y + ky - job.kernel / 2;
    for (int s = 0; s < job.n_sources; s++, i++) {
      const int channels = job.sources[s].channels;
      runs[i] = nullptr;
      if (line < 0 || line >= job.height) continue;
      const typename T::stored* in = (const typename T::stored*)job.sources[s].data +
                                     (picture * job.height + line) * job.width * channels;
      if (inside) {
        runs[i] = (const typename T::unit*)(in + (long)first * channels);
        continue;
      }
      runs[i] = (const typename T::unit*)copy;
      for (int p = first; p < first + pixels; p++, copy += channels)
        for (int c = 0; c < channels; c++)
          copy[c] = p < 0 || p >= job.width ? 0 : in[(long)p * channels + c];
    }
  }
  convolve_pixels<T, N, R>(job, y, picture, x, runs, of);
}

// A row of N output channels.
template <typename T, int N>
static void convolve_channels(const Direct& job, long y, long picture, const Together<T>& of,
                              typename T::stored* copy) {
  constexpr int MANY = pixels_at_once(N), FEW = MANY / 3;
  int x = 0;
  for (; job.width - x > FEW; x += MANY)
    convolve_at<T, N, MANY>(job, y, picture, x, of, copy);
  for (; x < job.width; x += FEW) convolve_at<T, N, FEW>(job, y, picture, x, of, copy);
}

// Row `row` of all pictures' output rows, one after the other.
template <typename T>
static void convolve_direct(const Direct& job, long row, typename T::stored* copy) {
  const long picture = row / job.height, y = row % job.height;
  // The weights lie in blocks of BLOCK output channels, the last one of LANES where no more are left.
  const typename T::unit* u = (const typename T::unit*)job.weights;
  const long places = (long)job.kernel * job.kernel * job.depth / T::OF_UNIT;
  for (int group = 0; group < job.groups; group++) {
    for (int channel = 0, n; channel < job.channels; channel += n, u += places * n) {
      const int left = job.channels - channel;
      const float* bias = job.bias + (long)group * ((job.channels + BLOCK - 1) / BLOCK * BLOCK) + channel;
      const Together<T> of = {u, u + places * BLOCK, bias, group, channel};
      if (left <= LANES)
        n = LANES, convolve_channels<T, LANES>(job, y, picture, of, copy);
#ifdef WIDE
      else if (left > BLOCK && left <= BLOCK + LANES)
        n = BLOCK + LANES, convolve_channels<T, BLOCK + LANES>(job, y, picture, of, copy);
      else if (left > BLOCK)
        n = 2 * BLOCK, convolve_channels<T, 2 * BLOCK>(job, y, picture, of, copy);
#endif
      else
        n = BLOCK, convolve_channels<T, BLOCK>(job, y, picture, of, copy);
    }
  }
}

static void NAME(const Direct& job, long row, void* copy) {
  if (job.bf16)
    convolve_direct<Bf16>(job, row, (Bf16::stored*)copy);
  else
    convolve_direct<Fp32>(job, row, (Fp32::stored*)copy);
}

}  // namespace
