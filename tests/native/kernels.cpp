// Runs the kernels of src/native on buffers that are as large as promised and no larger, for the
// sanitizers, and compares what they give with a plain form.
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "kernels.h"

using namespace refvsr;

extern "C" {
int refvsr_cpu_is_known() noexcept;
int refvsr_winograd(const Job*, int, const volatile unsigned char*) noexcept;
int refvsr_sample(const Sampling*, long, int, const volatile unsigned char*) noexcept;
int refvsr_direct(const Direct*, long, int, const volatile unsigned char*) noexcept;
int refvsr_blur(const Blur*, long, int, const volatile unsigned char*) noexcept;
int refvsr_match(const Matching*, long, int, const volatile unsigned char*) noexcept;
void refvsr_allocator_install() noexcept;
void refvsr_allocator_trim() noexcept;
size_t refvsr_allocator_waiting() noexcept;
}

// For the script's own test: which buffer is a number too short.
#ifndef PLANT
#define PLANT 0
#endif

namespace {

std::mt19937_64 random_numbers;

int below(int end) { return (int)(random_numbers() % (uint64_t)end); }
int between(int least, int most) { return least + below(most - least + 1); }
float value() { return (float)((double)(random_numbers() >> 11) / (1ull << 53) * 2 - 1); }

void fail(const char* what, double found, double expected) {
  std::fprintf(stderr, "%s: %g, expected %g\n", what, found, expected);
  std::abort();
}

void compare(const char* what, double found, double expected, double tolerance) {
  if (!(std::abs(found - expected) <= tolerance * (1 + std::abs(expected)))) fail(what, found, expected);
}

float stored(float x) {  // as bf16 keeps it
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
  std::memcpy(&x, &bits, 4);
  return x;
}

// Numbers in memory of their own, of exactly their size: floats, or bf16.
class Numbers {
 public:
  Numbers(size_t count, bool bf16) : bf16_(bf16), bytes_(count * (bf16 ? 2 : 4)), data_(new unsigned char[bytes_]) {}

  static Numbers drawn(size_t count, bool bf16, int shorter = 0) {
    Numbers all(count - shorter, bf16);
    for (size_t i = 0; i < count - shorter; i++) all.set(i, value());
    return all;
  }

  void set(size_t i, float x) {
    if (!bf16_) return (void)std::memcpy(&data_[4 * i], &x, 4);
    const float kept = stored(x);
    uint32_t bits;
    std::memcpy(&bits, &kept, 4);
    const uint16_t half = (uint16_t)(bits >> 16);
    std::memcpy(&data_[2 * i], &half, 2);
  }

  float operator[](size_t i) const {
    float x;
    if (!bf16_) return std::memcpy(&x, &data_[4 * i], 4), x;
    uint16_t half;
    std::memcpy(&half, &data_[2 * i], 2);
    const uint32_t bits = (uint32_t)half << 16;
    return std::memcpy(&x, &bits, 4), x;
  }

  void* data() const { return data_.get(); }
  float* floats() const { return reinterpret_cast<float*>(data_.get()); }

 private:
  bool bf16_;
  size_t bytes_;
  std::unique_ptr<unsigned char[]> data_;
};

int round_up(int n, int unit) { return (n + unit - 1) / unit * unit; }

// A convolution with what is around it: inputs to join, weights [output][input][ky][kx], a bias, a residual.
struct Convolution {
  int pictures, height, width, kernel, groups, channels;
  bool bf16, has_residual;
  float slope;
  std::vector<int> parts;
  std::vector<Numbers> inputs;
  std::vector<Source> sources;
  std::vector<float> weights, bias;
  Numbers residual, out;

  static Convolution drawn(int kernel, bool bf16, int pictures) {
    std::vector<int> parts(between(1, 3));
    for (int& part : parts) part = bf16 ? 2 * between(1, 20) : between(1, 40);
    const int groups = below(4) ? 1 : 4, channels = between(1, groups == 4 ? 24 : 70);
    return Convolution(kernel, bf16, pictures, groups, channels, parts);
  }

  Convolution(int kernel_, bool bf16_, int pictures_, int groups_, int channels_, const std::vector<int>& parts_)
      : pictures(pictures_),
        height(between(1, 9)),
        width(between(1, 40)),
        kernel(kernel_),
        groups(groups_),
        channels(channels_),
        bf16(bf16_),
        has_residual(below(2)),
        slope(std::vector<float>{0, 0.1f, 1}[below(3)]),
        parts(parts_),
        residual(Numbers::drawn((size_t)pictures_ * height * width * groups_ * channels_, bf16_)),
        out((size_t)pictures_ * height * width * groups_ * channels_ - (PLANT == 3), bf16_) {
    for (const int part : parts) inputs.push_back(Numbers::drawn((size_t)pictures * height * width * part, bf16, PLANT == 1));
    for (size_t i = 0; i < parts.size(); i++) sources.push_back({inputs[i].data(), parts[i]});
    weights.resize((size_t)channels * groups * depth() * kernel * kernel);
    for (float& weight : weights) weight = bf16 ? stored(value()) : value();
    bias.resize(channels * groups);
    for (float& one : bias) one = value();
  }

  int depth() const {
    int sum = 0;
    for (const int part : parts) sum += part;
    return sum;
  }

  float weight(int output, int input, int ky, int kx) const {
    return weights[(((size_t)output * depth() + input) * kernel + ky) * kernel + kx];
  }

  // Compares a few of the output's numbers with the plain form.
  void check(const char* what, double tolerance) const {
    const int factor = groups == 4 ? 2 : 1;
    for (int n = 0; n < 60; n++) {
      const int p = below(pictures), y = below(height), x = below(width), g = below(groups), c = below(channels);
      // A shuffle's four channels of one place lie together.
      const int output = c * groups + g;
      double sum = bias[output];
      for (int ky = 0; ky < kernel; ky++)
        for (int kx = 0; kx < kernel; kx++) {
          const int row = y + ky - kernel / 2, column = x + kx - kernel / 2;
          if (row < 0 || column < 0 || row >= height || column >= width) continue;
          for (size_t s = 0, before = 0; s < parts.size(); before += parts[s++])
            for (int i = 0; i < parts[s]; i++)
              sum += (double)inputs[s][(((size_t)p * height + row) * width + column) * parts[s] + i] * weight(output, (int)before + i, ky, kx);
        }
      if (sum < 0) sum *= slope;
      const size_t line = ((size_t)p * height + y) * factor + g / 2;
      const size_t at = (line * width * factor + (size_t)x * factor + g % 2) * channels + c;
      compare(what, out[at], sum + (has_residual ? residual[at] : 0), tolerance);
    }
  }
};

// The blocks of a group's output channels: the first and how many, those that fill it up included.
template <typename Each>
void blocks(int channels, Each each) {
  for (int first = 0; first < channels; first += BLOCK) each(first, channels - first > LANES ? BLOCK : LANES);
}

void direct() {
  const bool bf16 = below(2);
  Convolution of = Convolution::drawn(1 + 2 * below(4), bf16, between(1, 2));
  const int unit = bf16 ? 2 : 1, aligned = round_up(of.channels, BLOCK);
  std::vector<float> packed;
  for (int g = 0; g < of.groups; g++)
    blocks(of.channels, [&](int first, int n) {
      for (int ky = 0; ky < of.kernel; ky++)
        for (size_t s = 0, before = 0; s < of.parts.size(); before += of.parts[s++])
          for (int kx = 0; kx < of.kernel; kx++)
            for (int i = 0; i < of.parts[s]; i += unit)
              for (int c = first; c < first + n; c++)
                for (int j = 0; j < unit; j++)
                  packed.push_back(c < of.channels ? of.weight(c * of.groups + g, (int)before + i + j, ky, kx) : 0);
    });
  packed.insert(packed.end(), 2 * BLOCK, 0.0f);
  Numbers weights(packed.size() - (PLANT == 2 ? 2 * BLOCK + 1 : 0), bf16);
  for (size_t i = 0; i < packed.size() - (PLANT == 2 ? 2 * BLOCK + 1 : 0); i++) weights.set(i, packed[i]);
  Numbers bias(of.groups * aligned, false);
  for (int g = 0; g < of.groups; g++)
    for (int c = 0; c < aligned; c++) bias.set(g * aligned + c, c < of.channels ? of.bias[c * of.groups + g] : 0);
  const Direct job = {of.sources.data(), (int)of.sources.size(), of.height,   of.width,
                      of.kernel,         weights.data(),         bias.floats(), of.depth(),
                      of.groups,         of.channels,            of.slope,    of.has_residual ? of.residual.data() : nullptr,
                      of.out.data(),     bf16};
  refvsr_direct(&job, (long)of.pictures * of.height, between(1, 2), nullptr);
  of.check("direct", bf16 ? 0.02 : 1e-4);
}

void winograd() {
  const int tile = below(2) ? 2 : 4, side = tile + 2;
  Convolution of = Convolution::drawn(3, false, 1);
  static const double two[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
  static const double four[6][3] = {{0.25, 0, 0},           {-1 / 6., -1 / 6., -1 / 6.}, {-1 / 6., 1 / 6., -1 / 6.}, {1 / 24., 1 / 12., 1 / 6.},
                                    {1 / 24., -1 / 12., 1 / 6.}, {0, 0, 1}};
  const double(*g3)[3] = tile == 2 ? two : four;
  int depth = 0;
  for (const int part : of.parts) depth += round_up(part, LANES);
  std::vector<float> packed, biases;
  for (int g = 0; g < of.groups; g++)
    blocks(of.channels, [&](int first, int n) {
      for (int py = 0; py < side; py++)
        for (int px = 0; px < side; px++)
          for (size_t s = 0, before = 0; s < of.parts.size(); before += of.parts[s++])
            for (int i = 0; i < round_up(of.parts[s], LANES); i++)
              for (int c = first; c < first + n; c++) {
                double point = 0;
                if (c < of.channels && i < of.parts[s])
                  for (int ky = 0; ky < 3; ky++)
                    for (int kx = 0; kx < 3; kx++) point += g3[py][ky] * g3[px][kx] * of.weight(c * of.groups + g, (int)before + i, ky, kx);
                packed.push_back((float)point);
              }
      for (int c = first; c < first + n; c++) biases.push_back(c < of.channels ? of.bias[c * of.groups + g] : 0);
    });
  Numbers weights(packed.size(), false), bias(biases.size(), false);
  for (size_t i = 0; i < packed.size(); i++) weights.set(i, packed[i]);
  for (size_t i = 0; i < biases.size(); i++) bias.set(i, biases[i]);
  const Job job = {of.sources.data(), (int)of.sources.size(), of.height, of.width, weights.floats(), bias.floats(), depth, of.groups, of.channels, of.slope,
                   of.has_residual ? of.residual.floats() : nullptr, of.out.floats(), tile};
  refvsr_winograd(&job, between(1, 2), nullptr);
  of.check("winograd", 2e-3);
}

void sample() {
  const bool bf16 = below(2), edge = below(2), align = below(2);
  const int height = between(1, 9), width = between(1, 9), channels = between(1, 40), samples = between(1, 300);
  const Numbers picture = Numbers::drawn((size_t)height * width * channels, bf16);
  Numbers grid(2 * samples, false), out((size_t)samples * channels, bf16);
  static const float odd[] = {-1, 1, -1.5f, 1e30f, -1e30f, INFINITY, -INFINITY, NAN, 3e9f, -0.0f};
  for (int i = 0; i < 2 * samples; i++) grid.set(i, below(4) ? 1.3f * value() : odd[below(10)]);
  const Sampling job = {picture.data(), height, width, channels, grid.floats(), edge, align, out.data(), bf16};
  refvsr_sample(&job, samples, between(1, 2), nullptr);
  for (int i = 0; i < samples; i++) {
    double x = grid[2 * i], y = grid[2 * i + 1];
    if (!std::isfinite(x) || !std::isfinite(y) || std::abs(x) > 2 || std::abs(y) > 2) continue;
    x = align ? (x + 1) / 2 * (width - 1) : ((x + 1) * width - 1) / 2;
    y = align ? (y + 1) / 2 * (height - 1) : ((y + 1) * height - 1) / 2;
    if (edge) x = std::clamp<double>(x, 0, width - 1), y = std::clamp<double>(y, 0, height - 1);
    const int c = below(channels);
    double sum = 0;
    for (int row = (int)std::floor(y); row <= (int)std::floor(y) + 1; row++)
      for (int column = (int)std::floor(x); column <= (int)std::floor(x) + 1; column++)
        if (row >= 0 && column >= 0 && row < height && column < width)
          sum += picture[((size_t)row * width + column) * channels + c] * (1 - std::abs(x - column)) * (1 - std::abs(y - row));
    compare("sample", out[(size_t)i * channels + c], sum, bf16 ? 0.02 : 1e-4);
  }
}

void blur() {
  const int planes = between(1, 3), height = between(1, 20), width = between(1, 150), taps = 1 + 2 * below(8), along = below(2);
  const Numbers picture = Numbers::drawn((size_t)planes * height * width, false), weights = Numbers::drawn(taps, false);
  Numbers out((size_t)planes * height * width, false);
  const Blur job = {picture.floats(), height, width, weights.floats(), taps, along, out.floats()};
  refvsr_blur(&job, (long)planes * height, between(1, 2), nullptr);
  for (int n = 0; n < 60; n++) {
    const int p = below(planes), y = below(height), x = below(width);
    double sum = 0;
    for (int k = 0; k < taps; k++) {
      const int row = along ? std::clamp(y + k - taps / 2, 0, height - 1) : y;
      const int column = along ? x : std::clamp(x + k - taps / 2, 0, width - 1);
      sum += (double)weights[k] * picture[((size_t)p * height + row) * width + column];
    }
    compare("blur", out[((size_t)p * height + y) * width + x], sum, 1e-4);
  }
}

void match() {
  const int depth = between(1, 80), keys = between(1, 400), queries = between(MATCH_ROWS, 250), filled = round_up(keys, BLOCK);
  const Numbers query = Numbers::drawn((size_t)queries * depth, false);
  Numbers key((size_t)filled * depth, false);
  for (int k = 0; k < filled; k++)
    for (int d = 0; d < depth; d++) key.set(((size_t)(k / BLOCK) * depth + d) * BLOCK + k % BLOCK, k < keys ? value() : 0);
  std::unique_ptr<long[]> best(new long[queries]);
  const Matching job = {query.floats(), key.floats(), keys, depth, best.get()};
  refvsr_match(&job, queries, between(1, 2), nullptr);
  const auto score = [&](int q, long k) {
    double sum = 0;
    for (int d = 0; d < depth; d++) sum += (double)query[(size_t)q * depth + d] * key[((size_t)(k / BLOCK) * depth + d) * BLOCK + k % BLOCK];
    return sum;
  };
  for (int n = 0; n < 20; n++) {
    const int q = below(queries);
    if (best[q] < 0 || best[q] >= keys) fail("match: a key", (double)best[q], keys);
    double most = -1e9;
    for (int k = 0; k < keys; k++) most = std::max(most, score(q, k));
    compare("match", score(q, best[q]), most, 1e-4);
  }
}

// Tensors' memory taken and given back in any order. Each keeps what was written to it.
void allocator() {
  struct Held {
    c10::DataPtr memory;
    size_t words;
    uint64_t mark;
  };
  std::vector<Held> all;
  const auto whole = [](const Held& held) {
    const uint64_t* words = static_cast<const uint64_t*>(held.memory.get());
    for (size_t i = 0; i < held.words; i += 509)
      if (words[i] != held.mark + i) fail("allocator: a word", (double)words[i], (double)(held.mark + i));
  };
  for (int n = 0; n < 60; n++) {
    if (all.size() > 12 || (!all.empty() && below(3) == 0)) {
      const size_t i = below((int)all.size());
      whole(all[i]);
      std::swap(all[i], all.back());
      all.pop_back();
    } else {
      const size_t words = (size_t)between(1, 1 << below(22));
      Held held{c10::cpu_allocator()->allocate(8 * words), words, random_numbers()};
      for (size_t i = 0; i < words; i += 509) static_cast<uint64_t*>(held.memory.get())[i] = held.mark + i;
      all.push_back(std::move(held));
    }
    if (below(16) == 0) refvsr_allocator_trim();
  }
  for (const Held& held : all) whole(held);
  all.clear();
  refvsr_allocator_trim();
  if (refvsr_allocator_waiting()) fail("allocator: bytes that wait", (double)refvsr_allocator_waiting(), 0);
}

}  // namespace

int main(int count, char** words) {
  const unsigned long seed = count > 1 ? std::strtoul(words[1], nullptr, 10) : 1;
  const int rounds = count > 2 ? std::atoi(words[2]) : 100;
  if (!refvsr_cpu_is_known()) return std::fprintf(stderr, "REFVSR_CPU has no such set\n"), 2;
  refvsr_allocator_install();
  for (int n = 0; n < rounds; n++) {
    // A round's numbers are the same whichever came before.
    random_numbers.seed(seed + n);
    direct();
    winograd();
    sample();
    blur();
    match();
    if (n % 10 == 0) allocator();
  }
  const char* set = std::getenv("REFVSR_CPU");
  std::printf("%s: %d rounds from seed %lu, sound\n", set && *set ? set : "the best", rounds, seed);
  return 0;
}
