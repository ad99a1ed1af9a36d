// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/block_bytes.h"

#include <string.h>

#include <utility>

namespace dki::kvcache {

BlockBytes::BlockBytes(std::string bytes) {
  const std::shared_ptr<std::string> owner(new std::string(std::move(bytes)),
                                           [](std::string* unused) {
                                             explicit_bzero(unused->data(), unused->size());
                                             delete unused;
                                           });
  view_ = *owner;
  owner_ = owner;
}

BlockBytes::BlockBytes(std::shared_ptr<const transfer::SealedMemory> memory)
    : owner_(memory), view_(memory->bytes()), sealed_(memory.get()) {}

BlockBytes::BlockBytes(std::shared_ptr<const std::string> bytes) {
  if (bytes != nullptr) view_ = *bytes;
  owner_ = std::move(bytes);
}

absl::StatusOr<BlockBytes> Seal(const BlockBytes& bytes) {
  if (bytes.sealed() != nullptr) return bytes;
  DKI_ASSIGN_OR_RETURN(auto memory, transfer::SealedMemory::Create(*bytes));
  return BlockBytes(std::move(memory));
}

}  // namespace dki::kvcache
