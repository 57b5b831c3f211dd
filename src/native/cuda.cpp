// What CUDA's libraries may do with fp32. libtorch keeps these settings in its CPU half, so this works
// where there is no CUDA as well, and then says nothing to anyone.
#include <ATen/Context.h>

// fp32 convolutions and products are really fp32, not TF32 with its 10 bits of mantissa; the fastest
// algorithm is found by trying, once a size.
extern "C" int refvsr_cuda_settings() {
  try {
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowTF32CuBLAS(false);
    at::globalContext().setBenchmarkCuDNN(true);
    return 0;
  } catch (...) {
    return 1;
  }
}

// Whether fp32 is fp32: 1, 0, or -1 where it cannot be told.
extern "C" int refvsr_cuda_is_exact() {
  try {
    return !at::globalContext().allowTF32CuDNN() && !at::globalContext().allowTF32CuBLAS();
  } catch (...) {
    return -1;
  }
}
