// Rows of a picture under a window, along a row or along columns. Included once for each instruction set.

namespace {

constexpr int CHUNK = 64;  // pixels summed at once, in registers where they are wide enough

// sum[i] of `taps` rows, each `weights[k]` times `rows(k)[i]`, for `width` pixels.
template <typename Rows>
static INLINE void sum_rows(Rows rows, const float* weights,
                            int taps, float* out, long width) {
  typedef float lanes __attribute__((vector_size(32), aligned(4), may_alias));
  long x = 0;
  for (; x + CHUNK <= width; x += CHUNK) {
    lanes sum[CHUNK / 8];
#pragma GCC unroll 8
    for (int i = 0; i < CHUNK / 8; i++) sum[i] = lanes{};
    for (int k = 0; k < taps; k++) {
      const float* row = rows(k) + x;
#pragma GCC unroll 8
      for (int i = 0; i < CHUNK / 8; i++) sum[i] += *(const lanes*)(row + 8 * i) * weights[k];
    }
#pragma GCC unroll 8
    for (int i = 0; i < CHUNK / 8; i++) *(lanes*)(out + x + 8 * i) = sum[i];
  }
  for (; x < width; x++) {
    float sum = 0.0f;
    for (int k = 0; k < taps; k++) sum += rows(k)[x] * weights[k];
    out[x] = sum;
  }
}

// Row `row` of all planes' rows, one after the other. `scratch` has room for a row and the window.
static void NAME(const Blur& blur, long row, float* scratch) {
  const long width = blur.width;
  const float* plane = blur.picture + row / blur.height * blur.height * width;
  const int y = (int)(row % blur.height), radius = blur.taps / 2;
  float* out = blur.out + row * width;
  if (blur.along_columns) {
    const int last = blur.height - 1;
    const auto rows = [=](int k) {
      const int at = y + k - radius;
      return plane + (at < 0 ? 0 : at > last ? last : at) * width;
    };
    sum_rows(rows, blur.weights, blur.taps, out, width);
    return;
  }
  const float* in = plane + y * width;
  for (int i = 0; i < radius; i++) scratch[i] = in[0];
  for (long i = 0; i < width; i++) scratch[radius + i] = in[i];
  for (int i = 0; i < radius; i++) scratch[radius + width + i] = in[width - 1];
  sum_rows([=](int k) { return scratch + k; }, blur.weights, blur.taps, out, width);
}

}  // namespace
