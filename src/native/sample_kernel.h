// Rows of pixels sampled bilinearly, channels last in memory. Included once for each instruction set, behind
// stored.h.

namespace {

template <typename T>
static void sample_of(const Sampling& s, long first, long count) {
  const float last_x = (float)(s.width - 1), last_y = (float)(s.height - 1);
  for (long i = first; i < first + count; i++) {
    float x = s.grid[2 * i], y = s.grid[2 * i + 1];
    x = s.align_corners ? (x + 1.0f) * 0.5f * last_x : ((x + 1.0f) * s.width - 1.0f) * 0.5f;
    y = s.align_corners ? (y + 1.0f) * 0.5f * last_y : ((y + 1.0f) * s.height - 1.0f) * 0.5f;
    if (s.edge) {
      x = x < 0.0f ? 0.0f : (x > last_x ? last_x : x);
      y = y < 0.0f ? 0.0f : (y > last_y ? last_y : y);
    }
    // Pixels of the picture that have a part in it. None for positions that are no numbers.
    const T* pixels[4];
    float weights[4];
    int n = 0;
    if (x > -1.0f && y > -1.0f && x < (float)s.width && y < (float)s.height) {
      const int left = (int)x - (x < 0.0f), top = (int)y - (y < 0.0f);
      const float right_part = x - left, low_part = y - top;
      for (int corner = 0; corner < 4; corner++) {
        const int column = left + corner % 2, row = top + corner / 2;
        if (column < 0 || row < 0 || column >= s.width || row >= s.height) continue;
        pixels[n] = (const T*)s.picture + ((long)row * s.width + column) * s.channels;
        weights[n++] = (corner % 2 ? right_part : 1.0f - right_part) *
                       (corner / 2 ? low_part : 1.0f - low_part);
      }
    }
    T* out = (T*)s.out + i * s.channels;
    int c = 0;
    for (; c + LANES <= s.channels; c += LANES) {
      lanes_t sum = {};
      for (int p = 0; p < n; p++) sum += read_lanes(pixels[p] + c) * weights[p];
      write_lanes(out + c, sum);
    }
    for (; c < s.channels; c++) {
      float sum = 0.0f;
      for (int p = 0; p < n; p++) sum += read(pixels[p] + c) * weights[p];
      write(out + c, sum);
    }
  }
}

static void NAME(const Sampling& s, long first, long count) {
  if (s.bf16)
    sample_of<unsigned short>(s, first, count);
  else
    sample_of<float>(s, first, count);
}

}  // namespace
