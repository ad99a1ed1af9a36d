// SPDX-License-Identifier: Apache-2.0
// Grow-only memory of a thread, 64-byte aligned, so that a kernel allocates nothing once it has
// run.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace dki::kernels {

class Scratch {
 public:
  // Room for n values, not initialised; the values of an earlier call are gone.
  template <typename T>
  T* Get(size_t n) {
    const size_t bytes = n * sizeof(T);
    if (bytes > size_) {
      data_.reset(static_cast<char*>(::operator new[](bytes, std::align_val_t{64})));
      size_ = bytes;
    }
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  struct Free {
    void operator()(char* p) const { ::operator delete[](p, std::align_val_t{64}); }
  };
  std::unique_ptr<char[], Free> data_;
  size_t size_ = 0;
};

}  // namespace dki::kernels
