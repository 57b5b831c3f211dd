#pragma once

#include "Allocator.h"

namespace c10 {

inline Allocator*& cpu_allocator() {
  static Allocator* one = nullptr;
  return one;
}

inline void SetCPUAllocator(Allocator* allocator) { cpu_allocator() = allocator; }

}  // namespace c10
