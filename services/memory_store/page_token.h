// SPDX-License-Identifier: Apache-2.0
// Purpose: page tokens that clients cannot make up or carry to another list: a position and an
//   HMAC-SHA256 (RFC 2104, cut to 16 bytes) over it and the list that it belongs to.
// Thread-safety: const after construction.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libs/base/status.h"

namespace dki::memory_store {

class PageTokens {
 public:
  explicit PageTokens(std::string secret) : secret_(std::move(secret)) {}

  // `binding`: what identifies the list (tenant, viewer, filter).
  std::string Encode(std::string_view binding, int64_t position) const;
  // INVALID_ARGUMENT unless `token` was encoded with this binding.
  absl::StatusOr<int64_t> Decode(std::string_view binding, std::string_view token) const;

 private:
  std::string secret_;
};

}  // namespace dki::memory_store
