// What src/native/allocator.cpp needs of libtorch, with malloc behind it.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>

namespace c10 {

enum class DeviceType { CPU };

struct Device {
  Device(DeviceType) {}
};

using DeleterFnPtr = void (*)(void*);

// Data and how it is given back.
class DataPtr {
 public:
  DataPtr(void* data, void* context, DeleterFnPtr deleter, Device) : data_(data), owner_(context, deleter) {}
  void* get() const { return data_; }

 private:
  void* data_;
  std::unique_ptr<void, DeleterFnPtr> owner_;
};

struct Allocator {
  virtual ~Allocator() = default;
  virtual DataPtr allocate(size_t bytes) = 0;
  virtual DeleterFnPtr raw_deleter() const { return nullptr; }
  virtual void copy_data(void* to, const void* from, size_t bytes) const = 0;

 protected:
  static void default_copy_data(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
};

}  // namespace c10
