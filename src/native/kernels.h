// What the kernels are told, and the sizes that all instruction sets share.
#pragma once

namespace refvsr {

constexpr int LANES = 8;        // channels transformed at once
constexpr int BLOCK = 16;       // output channels multiplied at once
constexpr int ROWS = 12;        // tiles multiplied at once
constexpr int PIXELS = 12;      // of a row, convolved at once, at most
constexpr int MATCH_ROWS = 96;  // queries that share a pass over the keys

// Pictures with channels last in memory, of floats or bf16.
struct Source {
  const void* data;
  int channels;
};

struct Job {
  const Source* sources;  // their channels joined are the input
  int n_sources;
  int height, width;  // of the input
  const float* weights;
  const float* bias;
  int depth;     // input channels, each source's rounded up to LANES
  int groups;    // 1, or 4: a pixel shuffle by 2 follows
  int channels;  // output channels of a group
  float slope;   // of the leaky ReLU behind: 1 is none, 0 is ReLU
  const float* residual;  // added to the output; may be null
  float* out;
  int tile;  // output pixels of a tile, a side: 2 or 4
};

// Bilinear samples of a picture, both with channels last in memory, of floats or bf16.
struct Sampling {
  const void* picture;
  int height, width, channels;
  const float* grid;  // x and y of each sample, in -1..1
  int edge;           // outside the picture lies its edge; else nothing
  int align_corners;  // -1 and 1 are centres of pixels; else the picture's borders
  void* out;
  int bf16;
};

// A convolution of stride 1 in its direct form, channels last in memory, whose output is as large as its input.
// Numbers are floats, or bf16 of which two make a unit, but for the bias.
struct Direct {
  const Source* sources;  // their channels joined are the input
  int n_sources;
  int height, width, kernel;  // of a picture, and of the window
  const void* weights;
  const float* bias;  // of each group, rounded up to BLOCK
  int depth;          // input channels
  int groups;    // 1, or 4: a pixel shuffle by 2 follows
  int channels;  // output channels of a group
  float slope;   // of the leaky ReLU behind: 1 is none, 0 is ReLU
  const void* residual;  // added to the output; may be null
  void* out;
  int bf16;
};

// Pictures of one channel under a window along rows or columns; beyond a picture its edge is repeated.
struct Blur {
  const float* picture;  // [planes][height][width]
  int height, width;
  const float* weights;  // [taps], an odd number
  int taps;
  int along_columns;
  float* out;
};

// Rows of unit length to match.
struct Matching {
  const float* query;  // [queries][depth], at least MATCH_ROWS queries
  const float* key;    // [keys / BLOCK][depth][BLOCK], the last block padded
  long keys;
  int depth;
  long* best;  // [queries]
};

// The kernels built for one set of instructions.
struct Kernels {
  void (*winograd)(const Job&, int first, int count, int most, float* scratch);
  void (*sample)(const Sampling&, long first, long count);
  void (*match)(const Matching&, long first, int skip);
  void (*direct)(const Direct&, long row, void* copy);
  void (*blur)(const Blur&, long row, float* scratch);
};

Kernels kernels_baseline();
Kernels kernels_avx2();
Kernels kernels_avx512();
Kernels kernels_avx512_bf16();
Kernels kernels_wide();  // for tests

}  // namespace refvsr
