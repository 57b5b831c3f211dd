// The kernels, built once for each set of instructions: build.rs gives SET its name.
#include "kernels.h"

namespace refvsr {

#define NAME winograd_tiles
#include "winograd_kernel.h"
#undef NAME
#define NAME sample_pixels
#include "sample_kernel.h"
#undef NAME

Kernels SET() { return {winograd_tiles, sample_pixels}; }

}  // namespace refvsr
