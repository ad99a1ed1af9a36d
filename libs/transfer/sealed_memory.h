// SPDX-License-Identifier: Apache-2.0
// Purpose: bytes in memory that another process may map, too, and that nobody can change, shrink or
//   grow any more: a memfd with all seals. So a reader may verify them once and then rely on them,
//   and reading never faults.
//   Costs a file descriptor, a mapping and, on average, half a page each; the kernel takes the
//   pages back, and clears them before anybody else gets them, when the last process lets go.
// Thread-safety: immutable.
#pragma once

#include <memory>
#include <string_view>

#include "libs/base/status.h"
#include "libs/transfer/file_descriptor.h"

namespace dki::transfer {

class SealedMemory {
 public:
  // A copy of `bytes`. REQUIRES: not empty. RESOURCE_EXHAUSTED: no descriptors, mappings or memory.
  static absl::StatusOr<std::shared_ptr<const SealedMemory>> Create(std::string_view bytes);
  // What another process sent: trusted only when it is a memfd of exactly `n_bytes` with all seals.
  // FAILED_PRECONDITION otherwise.
  static absl::StatusOr<std::shared_ptr<const SealedMemory>> Map(FileDescriptor descriptor,
                                                                 size_t n_bytes);
  ~SealedMemory();
  SealedMemory(const SealedMemory&) = delete;

  std::string_view bytes() const { return {data_, size_}; }
  // To be sent; closed with this object.
  int descriptor() const { return descriptor_.get(); }

 private:
  SealedMemory(FileDescriptor descriptor, const char* data, size_t size)
      : descriptor_(std::move(descriptor)), data_(data), size_(size) {}

  const FileDescriptor descriptor_;
  const char* const data_;
  const size_t size_;
};

// How many of them this process may hold beside its other files: half of the descriptors and of the
// mappings that it may have. Raises the soft limit of descriptors to the hard one.
int64_t MostSealedMemories();

}  // namespace dki::transfer
