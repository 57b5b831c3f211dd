// Rows of pixels sampled bilinearly, channels last in memory. Included once for each instruction set.

namespace {

typedef float lanes __attribute__((vector_size(32), aligned(4), may_alias));

// Adds weight * pixel to out, for all channels.
static inline void add_pixel(float* out, const float* pixel, float weight, int channels) {
  int c = 0;
  for (; c + 8 <= channels; c += 8)
    *(lanes*)(out + c) = *(const lanes*)(out + c) + *(const lanes*)(pixel + c) * weight;
  for (; c < channels; c++) out[c] += pixel[c] * weight;
}

static void NAME(const Sampling& s, long first, long count) {
  const float last_x = (float)(s.width - 1), last_y = (float)(s.height - 1);
  for (long i = first; i < first + count; i++) {
    float x = s.grid[2 * i], y = s.grid[2 * i + 1];
    x = s.align_corners ? (x + 1.0f) * 0.5f * last_x : ((x + 1.0f) * s.width - 1.0f) * 0.5f;
    y = s.align_corners ? (y + 1.0f) * 0.5f * last_y : ((y + 1.0f) * s.height - 1.0f) * 0.5f;
    if (s.edge) {
      x = x < 0.0f ? 0.0f : (x > last_x ? last_x : x);
      y = y < 0.0f ? 0.0f : (y > last_y ? last_y : y);
    }
    float* out = s.out + i * s.channels;
    for (int c = 0; c < s.channels; c++) out[c] = 0.0f;
    // Also false for positions that are no numbers.
    if (!(x > -1.0f && y > -1.0f && x < (float)s.width && y < (float)s.height)) continue;
    const int left = (int)x - (x < 0.0f), top = (int)y - (y < 0.0f);
    const float right_part = x - left, low_part = y - top;
    for (int corner = 0; corner < 4; corner++) {
      const int column = left + corner % 2, row = top + corner / 2;
      const float weight = (corner % 2 ? right_part : 1.0f - right_part) *
                           (corner / 2 ? low_part : 1.0f - low_part);
      if (column < 0 || row < 0 || column >= s.width || row >= s.height) continue;
      add_pixel(out, s.picture + ((long)row * s.width + column) * s.channels, weight, s.channels);
    }
  }
}

}  // namespace
