// The kernels, built once for each set of instructions: build.rs gives SET its name, and WIDE where
// registers hold sixteen floats.
#include "kernels.h"

#ifdef __AVX512BF16__
// Its functions are part of their callers, whatever the linker does.
#include <immintrin.h>
#endif

// The hot parts are inlined whatever the compiler thinks of this file's size: one that is not passes its vectors
// through memory.
#define INLINE inline __attribute__((always_inline))

namespace refvsr {

#include "product.h"
#include "stored.h"

#define NAME winograd_tiles
#include "winograd_kernel.h"
#undef NAME
#define NAME sample_pixels
#include "sample_kernel.h"
#undef NAME

#define NAME match_queries
#include "match_kernel.h"
#undef NAME

#define NAME direct_row
#include "direct_kernel.h"
#undef NAME

#define NAME blur_row
#include "blur_kernel.h"
#undef NAME

Kernels SET() { return {winograd_tiles, sample_pixels, match_queries, direct_row, blur_row}; }

}  // namespace refvsr
