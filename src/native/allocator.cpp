// Memory of libtorch's large CPU tensors, kept and used again.
//
// libtorch takes a tensor's memory from malloc, which gives blocks of this size back to the system when
// they are freed and takes new ones at the next operation: each page is then cleared by the kernel anew,
// a third of a frame's time. Here a freed block waits for the next tensor of about its size. Blocks in
// use and blocks waiting together never take more than blocks in use have taken at their most.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <unordered_map>

namespace {

constexpr size_t LARGE = 1 << 20;      // smaller tensors are left to malloc
constexpr size_t HUGE_PAGE = 2 << 20;  // one page fault each, where the system allows it

size_t rounded(size_t bytes) {
  const size_t unit = bytes >= 4 * HUGE_PAGE ? HUGE_PAGE : HUGE_PAGE / 8;
  return (bytes + unit - 1) / unit * unit;
}

// Fresh memory, aligned to huge pages; null where there is none.
void* mapped(size_t bytes) {
  void* raw = mmap(nullptr, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  char* start = static_cast<char*>(raw);
  const size_t before = (HUGE_PAGE - reinterpret_cast<size_t>(raw) % HUGE_PAGE) % HUGE_PAGE;
  if (before) munmap(start, before);
  if (HUGE_PAGE - before) munmap(start + before + bytes, HUGE_PAGE - before);
  if (bytes >= HUGE_PAGE) madvise(start + before, bytes, MADV_HUGEPAGE);
  return start + before;
}

class Blocks {
 public:
  void* take(size_t bytes) {
    bytes = rounded(bytes);
    std::lock_guard<std::mutex> guard(lock_);
    const auto fits = waiting_.lower_bound(bytes);
    void* block = nullptr;
    if (fits != waiting_.end() && fits->first <= bytes + bytes / 4) {
      bytes = fits->first;
      block = fits->second;
      waiting_.erase(fits);
      waits_ -= bytes;
    } else {
      const size_t most = std::max(peak_, used_ + bytes);
      while (used_ + waits_ + bytes > most && !waiting_.empty()) unmap_largest();
      block = mapped(bytes);
      if (!block) {
        while (!waiting_.empty()) unmap_largest();
        block = mapped(bytes);
      }
      if (!block) return nullptr;
    }
    sizes_[block] = bytes;
    used_ += bytes;
    peak_ = std::max(peak_, used_);
    return block;
  }

  // False where the block is not one of these.
  bool give(void* block) {
    std::lock_guard<std::mutex> guard(lock_);
    const auto found = sizes_.find(block);
    if (found == sizes_.end()) return false;
    const size_t bytes = found->second;
    sizes_.erase(found);
    used_ -= bytes;
    waits_ += bytes;
    waiting_.emplace(bytes, block);
    return true;
  }

  void trim() {
    std::lock_guard<std::mutex> guard(lock_);
    while (!waiting_.empty()) unmap_largest();
    peak_ = used_;
  }

  size_t waits() {
    std::lock_guard<std::mutex> guard(lock_);
    return waits_;
  }

 private:
  void unmap_largest() {
    const auto largest = std::prev(waiting_.end());
    munmap(largest->second, largest->first);
    waits_ -= largest->first;
    waiting_.erase(largest);
  }

  std::mutex lock_;
  std::multimap<size_t, void*> waiting_;
  std::unordered_map<void*, size_t> sizes_;
  size_t used_ = 0, waits_ = 0, peak_ = 0;
};

// Never destroyed: tensors of static objects may outlive every destructor.
Blocks& blocks() {
  static Blocks* all = new Blocks;
  return *all;
}

void release_small(void* data) { c10::free_cpu(data); }

void release(void* data) {
  if (data && !blocks().give(data)) c10::free_cpu(data);
}

class Reusing final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes < LARGE) {
      void* data = c10::alloc_cpu(bytes);
      return {data, data, &release_small, c10::Device(c10::DeviceType::CPU)};
    }
    void* data = blocks().take(bytes);
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

// Makes libtorch take the memory of its CPU tensors here. Calls after the first do nothing.
extern "C" void refvsr_allocator_install() {
  static const bool once = [] {
    c10::SetCPUAllocator(new Reusing);
    return true;
  }();
  (void)once;
}

// Gives blocks that wait for a tensor back to the system.
extern "C" void refvsr_allocator_trim() { blocks().trim(); }

// Bytes of blocks that wait for a tensor.
extern "C" size_t refvsr_allocator_waiting() { return blocks().waits(); }
