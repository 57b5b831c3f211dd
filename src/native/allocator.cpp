// Memory of libtorch's large CPU tensors, kept and used again.
//
// libtorch takes a tensor's memory from malloc, which gives blocks of this size back to the system when
// they are freed and takes new ones at the next operation: each page is then cleared by the kernel anew,
// a third of a frame's time. Here memory waits for the next tensors in regions that are parted and joined
// as they need. Regions never take much more than tensors have taken at their most.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "entry.h"

namespace {

constexpr size_t LARGE = 1 << 20;      // smaller tensors are left to malloc
constexpr size_t UNIT = 256 << 10;     // sizes are rounded up to it
constexpr size_t HUGE_PAGE = 2 << 20;  // one page fault each, where the system allows it
constexpr size_t REGION = 32 << 20;    // taken from the system at least

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Fresh memory, aligned to huge pages; null where there is none.
char* mapped(size_t bytes) {
  void* raw = mmap(nullptr, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  char* start = static_cast<char*>(raw);
  const size_t before = (HUGE_PAGE - reinterpret_cast<size_t>(raw) % HUGE_PAGE) % HUGE_PAGE;
  if (before) munmap(start, before);
  if (HUGE_PAGE - before) munmap(start + before + bytes, HUGE_PAGE - before);
  madvise(start + before, bytes, MADV_HUGEPAGE);
  return start + before;
}

// Moves the pages from `from` on, as they are, to `to`, where they replace what is mapped: the kernel would
// clear fresh ones. `bytes` is a multiple of huge pages. False where the system refuses; `to` is then not to
// be used any more.
bool move_pages(char* from, char* to, size_t bytes) {
  // One by one, since the system moves nothing that lies in several of its mappings.
  for (size_t done = 0; done < bytes; done += HUGE_PAGE)
    if (mremap(from + done, HUGE_PAGE, HUGE_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + done) ==
        MAP_FAILED) {
      munmap(from + done, bytes - done);
      return false;
    }
  return true;
}

// A part of a region. Parts lie in a row from the region's start to its end.
struct Part {
  char* start;
  size_t size;
  bool used;
  Part *before, *behind;  // in the region; null at its ends
};

class Regions {
 public:
  void* take(size_t bytes) {
    bytes = rounded(bytes, UNIT);
    std::lock_guard<std::mutex> guard(lock_);
    // The smallest part that is large enough.
    const auto fits = waiting_.lower_bound({bytes, nullptr});
    Part* part = nullptr;
    if (fits != waiting_.end()) {
      part = fits->second;
      waiting_.erase(fits);
    } else {
      part = region_for(bytes);
      if (!part) return nullptr;
    }
    if (part->size - bytes >= LARGE) {
      Part* rest = new Part{part->start + bytes, part->size - bytes, false, part, part->behind};
      if (rest->behind) rest->behind->before = rest;
      part->behind = rest;
      part->size = bytes;
      waiting_.insert({rest->size, rest});
    }
    part->used = true;
    parts_[part->start] = part;
    used_ += part->size;
    peak_ = std::max(peak_, used_);
    return part->start;
  }

  // False where the memory is not of these regions.
  bool give(void* memory) {
    std::lock_guard<std::mutex> guard(lock_);
    const auto found = parts_.find(memory);
    if (found == parts_.end()) return false;
    Part* part = found->second;
    parts_.erase(found);
    part->used = false;
    used_ -= part->size;
    if (part->behind && !part->behind->used) join(part, part->behind);
    if (part->before && !part->before->used) {
      part = part->before;
      waiting_.erase({part->size, part});
      join(part, part->behind, false);
    }
    waiting_.insert({part->size, part});
    return true;
  }

  // Whole regions go, of others the pages that nothing uses.
  void trim() {
    std::lock_guard<std::mutex> guard(lock_);
    unmap_all();
    for (const auto& waiting : waiting_) madvise(waiting.second->start, waiting.first, MADV_DONTNEED);
    peak_ = used_;
  }

  size_t waits() {
    std::lock_guard<std::mutex> guard(lock_);
    return mapped_ - used_;
  }

 private:
  // `behind` becomes a part of `part`.
  void join(Part* part, Part* behind, bool waits = true) {
    if (waits) waiting_.erase({behind->size, behind});
    part->size += behind->size;
    part->behind = behind->behind;
    if (part->behind) part->behind->before = part;
    delete behind;
  }

  Part* region_for(size_t bytes) {
    const size_t size = rounded(std::max(bytes, REGION), HUGE_PAGE);
    // A sixteenth more than was ever in use, since parts of unequal sizes leave gaps.
    const size_t most = std::max(peak_, used_ + bytes);
    const size_t allowed = most + std::max(most / 16, REGION);
    char* start = mapped(size);
    // What nothing uses makes room for it, and gives it its pages as far as it needs any.
    size_t filled = 0;
    while (start && mapped_ + size > allowed) {
      const auto [spare, bytes] = cut(rounded(mapped_ + size - allowed, HUGE_PAGE));
      if (!bytes) break;
      const size_t moved = std::min(bytes, size - filled);
      if (!move_pages(spare, start + filled, moved)) {
        munmap(start, size);
        start = nullptr;
      }
      filled += moved;
      if (moved < bytes) munmap(spare + moved, bytes - moved);
    }
    if (!start) {
      unmap_all();
      start = mapped(size);
    }
    if (!start) return nullptr;
    mapped_ += size;
    return new Part{start, size, false, nullptr, nullptr};
  }

  // Up to so many bytes from the end of the largest region that nothing uses, which has them no more; none
  // where there is no such region.
  std::pair<char*, size_t> cut(size_t bytes) {
    for (auto it = waiting_.rbegin(); it != waiting_.rend(); ++it) {
      Part* part = it->second;
      if (part->before || part->behind) continue;
      waiting_.erase(std::next(it).base());
      bytes = std::min(bytes, part->size);
      part->size -= bytes;
      mapped_ -= bytes;
      const std::pair<char*, size_t> end{part->start + part->size, bytes};
      if (part->size)
        waiting_.insert({part->size, part});
      else
        delete part;
      return end;
    }
    return {nullptr, 0};
  }

  // Gives regions that nothing uses back to the system.
  void unmap_all() {
    for (;;) {
      const auto [start, bytes] = cut(SIZE_MAX);
      if (!bytes) return;
      munmap(start, bytes);
    }
  }

  std::mutex lock_;
  std::set<std::pair<size_t, Part*>> waiting_;
  std::unordered_map<void*, Part*> parts_;
  size_t used_ = 0, mapped_ = 0, peak_ = 0;
};

// Never destroyed: tensors of static objects may outlive every destructor.
Regions& regions() {
  static Regions* all = new Regions;
  return *all;
}

void release_small(void* data) { c10::free_cpu(data); }

// A tensor's end must not throw. A part that finds no room in the lists stays where it is, of no more use.
void release(void* data) noexcept {
  if (data && !refvsr::entered(true, [=] { return regions().give(data); })) c10::free_cpu(data);
}

class Reusing final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes < LARGE) {
      void* data = c10::alloc_cpu(bytes);
      return {data, data, &release_small, c10::Device(c10::DeviceType::CPU)};
    }
    void* data = regions().take(bytes);
    // The error that libtorch itself raises, with the amount in it.
    if (!data) data = c10::alloc_cpu(bytes);
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};

}  // namespace

// Makes libtorch take the memory of its CPU tensors here. Calls after the first do nothing. Where there is no
// memory for that, libtorch goes on as it was.
extern "C" void refvsr_allocator_install() noexcept {
  refvsr::entered(false, [] {
    static const bool once = [] {
      c10::SetCPUAllocator(new Reusing);
      return true;
    }();
    return once;
  });
}

// Gives memory that no tensor uses back to the system, that of small tensors too.
extern "C" void refvsr_allocator_trim() noexcept {
  refvsr::entered(0, [] {
    regions().trim();
    return 0;
  });
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

// Bytes that wait for a tensor.
extern "C" size_t refvsr_allocator_waiting() noexcept {
  return refvsr::entered(size_t{0}, [] { return regions().waits(); });
}
