// One block of tiles of a 3x3 convolution by Winograd's F(T x T, 3x3), T 2 or 4 (Lavin and Gray, CVPR 2016).
//
// Included once for each set of instructions, behind product.h.

namespace {

// Eight channels, also where they are not aligned.
typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));

static INLINE v8 load(const float* p) { return *(const v8*)p; }
static INLINE void store(float* p, v8 x) { *(v8*)p = x; }

// The transforms of a row or column of a tile of T x T output pixels, of inputs and outputs `step` apart.
template <int T>
struct Filter;

template <>
struct Filter<2> {
  // B^T d: four values to four points.
  static INLINE void points(const v8* d, v8* o, int step) {
    o[0] = d[0] - d[2];
    o[step] = d[1] + d[2];
    o[2 * step] = d[2] - d[1];
    o[3 * step] = d[1] - d[3];
  }

  // A^T m: four points to two values.
  static INLINE void values(const v8* m, v8* o, int step) {
    o[0] = m[0] + m[1] + m[2];
    o[step] = m[1] - m[2] - m[3];
  }
};

template <>
struct Filter<4> {
  // B^T d: six values to six points.
  static INLINE void points(const v8* d, v8* o, int step) {
    const v8 a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1];
    const v8 c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
    o[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
    o[step] = a + b;
    o[2 * step] = a - b;
    o[3 * step] = c + e;
    o[4 * step] = c - e;
    o[5 * step] = 4.0f * d[1] - 5.0f * d[3] + d[5];
  }

  // A^T m: six points to four values.
  static INLINE void values(const v8* m, v8* o, int step) {
    const v8 a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    o[0] = m[0] + a + c;
    o[step] = b + 2.0f * d;
    o[2 * step] = a + 4.0f * c;
    o[3 * step] = b + 8.0f * d + m[5];
  }
};

// Eight channels of one tile; `at(y, x)` loads a pixel of it. The points go to v, `step` floats apart.
template <int T, typename At>
static INLINE void transform_tile(At at, float* v, long step) {
  constexpr int SIDE = T + 2;
  v8 t[SIDE][SIDE];
#pragma GCC unroll 6
  for (int x = 0; x < SIDE; x++) {
    v8 column[SIDE];
#pragma GCC unroll 6
    for (int y = 0; y < SIDE; y++) column[y] = at(y, x);
    Filter<T>::points(column, &t[0][x], SIDE);
  }
#pragma GCC unroll 6
  for (int y = 0; y < SIDE; y++) {
    v8 o[SIDE];
    Filter<T>::points(t[y], o, 1);
#pragma GCC unroll 6
    for (int x = 0; x < SIDE; x++) store(v + (y * SIDE + x) * step, o[x]);
  }
}

// All channels of the tile whose padded corner is (y0, x0). Pixels outside the picture are zero.
template <int T>
static INLINE void read_tile(const Job& job, int y0, int x0, float* v, long step) {
  constexpr int SIDE = T + 2;
  const bool inside =
      y0 >= 0 && x0 >= 0 && y0 + SIDE <= job.height && x0 + SIDE <= job.width;
  for (int s = 0; s < job.n_sources; s++) {
    const int channels = job.sources[s].channels;
    const long row = (long)job.width * channels;
    const float* corner = (const float*)job.sources[s].data + y0 * row + (long)x0 * channels;
    for (int c = 0; c < channels; c += LANES, v += LANES) {
      const float* p = corner + c;
      if (inside && c + LANES <= channels) {
        transform_tile<T>([=](int y, int x) { return load(p + y * row + x * channels); }, v, step);
      } else {
        transform_tile<T>(
            [&](int y, int x) {
              v8 pixel = {};
              if (y0 + y >= 0 && y0 + y < job.height && x0 + x >= 0 && x0 + x < job.width)
                for (int i = 0; i < LANES && c + i < channels; i++)
                  pixel[i] = p[y * row + x * channels + i];
              return pixel;
            },
            v, step);
      }
    }
  }
}

// One point of `tiles` tiles (a multiple of ROWS) and N output channels.
template <int N>
static INLINE void multiply_point(const float* v, const float* u, int depth, float* m, int tiles) {
#ifdef WIDE
  constexpr int R = ROWS;
#else
  constexpr int R = ROWS * 8 / N;
#endif
  for (int t = 0; t < tiles; t += R)
    multiply<N, R>(v + (long)t * depth, depth, u, depth, m + (long)t * N);
}

// Eight output channels from `channel` of group `group` on, of the tile at row ty, column tx of tiles.
template <int T>
static INLINE void write_tile(const Job& job, int ty, int tx, const float* m, long step, int group,
                              int channel, const float* bias) {
  constexpr int SIDE = T + 2;
  v8 t[T][SIDE];
#pragma GCC unroll 6
  for (int x = 0; x < SIDE; x++) {
    v8 column[SIDE];
#pragma GCC unroll 6
    for (int y = 0; y < SIDE; y++) column[y] = load(m + (y * SIDE + x) * step);
    Filter<T>::values(column, &t[0][x], SIDE);
  }
  const v8 shift = load(bias);
  const int rows = job.height - ty * T < T ? job.height - ty * T : T;
  const int columns = job.width - tx * T < T ? job.width - tx * T : T;
  const int lanes = job.channels - channel < LANES ? job.channels - channel : LANES;
  // Groups are the four pixels that a pixel shuffle makes of one; without a shuffle there is one.
  const int factor = job.groups == 4 ? 2 : 1;
  const long line = (long)job.width * factor * job.channels;
  for (int y = 0; y < rows; y++) {
    v8 o[T];
    Filter<T>::values(t[y], o, 1);
    const long from = ((ty * T + y) * factor + group / 2) * line + channel;
    for (int x = 0; x < columns; x++) {
      const long at = from + (long)((tx * T + x) * factor + group % 2) * job.channels;
      v8 value = o[x] + shift;
      const v8 low = value * job.slope;
      value = value > 0.0f ? value : low;
      if (lanes == LANES) {
        if (job.residual) value += load(job.residual + at);
        store(job.out + at, value);
      } else {
        for (int i = 0; i < lanes; i++)
          job.out[at + i] = value[i] + (job.residual ? job.residual[at + i] : 0.0f);
      }
    }
  }
}

// Tiles first..first+count, in reading order. count is at most `most`, a multiple of ROWS.
template <int T>
static void convolve_tiles(const Job& job, int first, int count, int most, float* scratch) {
  constexpr int POINTS = (T + 2) * (T + 2);
  const int columns = (job.width + T - 1) / T, depth = job.depth;
  // A few floats more, so that the points do not lie at one place of the cache's sets.
  const long v_step = (long)most * depth + 16, m_step = (long)most * BLOCK + 16;
  float *v = scratch, *m = scratch + POINTS * v_step;
  for (int t = 0; t < count; t++)
    read_tile<T>(job, (first + t) / columns * T - 1, (first + t) % columns * T - 1,
                 v + (long)t * depth, v_step);
  const int tiles = (count + ROWS - 1) / ROWS * ROWS;
  const float *u = job.weights, *bias = job.bias;
  for (int group = 0; group < job.groups; group++) {
    for (int channel = 0; channel < job.channels;) {
      const int n = job.channels - channel > LANES ? BLOCK : LANES;
      for (int p = 0; p < POINTS; p++, u += (long)depth * n) {
        if (n == BLOCK)
          multiply_point<BLOCK>(v + p * v_step, u, depth, m + p * m_step, tiles);
        else
          multiply_point<LANES>(v + p * v_step, u, depth, m + p * m_step, tiles);
      }
      for (int half = 0; half < n && channel + half < job.channels; half += LANES)
        for (int t = 0; t < count; t++)
          write_tile<T>(job, (first + t) / columns, (first + t) % columns, m + (long)t * n + half,
                        m_step, group, channel + half, bias + half);
      channel += n;
      bias += n;
    }
  }
}

static void NAME(const Job& job, int first, int count, int most, float* scratch) {
  if (job.tile == 2)
    convolve_tiles<2>(job, first, count, most, scratch);
  else
    convolve_tiles<4>(job, first, count, most, scratch);
}

}  // namespace
