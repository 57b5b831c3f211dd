#pragma once

#include <cstdlib>

namespace c10 {

inline void* alloc_cpu(size_t bytes) { return std::malloc(bytes); }
inline void free_cpu(void* data) { std::free(data); }

}  // namespace c10
