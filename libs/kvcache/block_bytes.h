// SPDX-License-Identifier: Apache-2.0
// Purpose: the bytes of an encoded block, shared and never changed, wherever they lie: on the heap,
//   or in sealed memory that another process can map (libs/transfer). Used like a shared_ptr to a
//   std::string_view. Those on the heap are overwritten when their last owner lets go, and pages of
//   sealed memory leave the process then: what was erased does not linger in free memory (P7).
// Thread-safety: as a shared_ptr.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "libs/transfer/sealed_memory.h"

namespace dki::kvcache {

class BlockBytes {
 public:
  BlockBytes() = default;
  BlockBytes(std::nullptr_t) {}
  BlockBytes(std::string bytes);
  BlockBytes(std::shared_ptr<const transfer::SealedMemory> memory);
  // Somebody else's string, which is not overwritten.
  BlockBytes(std::shared_ptr<const std::string> bytes);
  BlockBytes(const std::shared_ptr<std::string>& bytes)
      : BlockBytes(std::shared_ptr<const std::string>(bytes)) {}

  std::string_view operator*() const { return view_; }
  const std::string_view* operator->() const { return &view_; }
  // The very same memory.
  bool operator==(const BlockBytes& other) const { return owner_ == other.owner_; }
  bool operator==(std::nullptr_t) const { return owner_ == nullptr; }

  // Null: they are on the heap.
  const transfer::SealedMemory* sealed() const { return sealed_; }

 private:
  std::shared_ptr<const void> owner_;
  std::string_view view_;
  const transfer::SealedMemory* sealed_ = nullptr;
};

// The same bytes in sealed memory: copied unless they lie there. RESOURCE_EXHAUSTED: there is none.
absl::StatusOr<BlockBytes> Seal(const BlockBytes& bytes);

}  // namespace dki::kvcache
