// What CUDA's libraries may do with fp32. libtorch keeps these settings in its CPU half, so this works
// where there is no CUDA as well, and then says nothing to anyone.
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>

#include "entry.h"

using refvsr::entered;

// The fastest algorithm is found by trying, once a size.
extern "C" int refvsr_cuda_benchmark() noexcept {
  return entered(1, [] {
    at::globalContext().setBenchmarkCuDNN(true);
    return 0;
  });
}

// Whether convolutions and products of fp32 may be computed in TF32, with its 10 bits of mantissa.
extern "C" int refvsr_cuda_allow_tf32(int allowed) noexcept {
  return entered(1, [=] {
    at::globalContext().setAllowTF32CuDNN(allowed != 0);
    at::globalContext().setAllowTF32CuBLAS(allowed != 0);
    return 0;
  });
}

// A copy in memory that a CUDA device reads by itself, or null. tch's own call passes a device, and
// libtorch warns of that each time.
extern "C" at::Tensor* refvsr_cuda_pinned(const at::Tensor* x) noexcept {
  return entered(static_cast<at::Tensor*>(nullptr), [=] { return new at::Tensor(x->pin_memory()); });
}

// Whether fp32 is fp32: 1, 0, or -1 where it cannot be told.
extern "C" int refvsr_cuda_is_exact() noexcept {
  return entered(-1, [] {
    return static_cast<int>(!at::globalContext().allowTF32CuDNN() &&
                            !at::globalContext().allowTF32CuBLAS());
  });
}
