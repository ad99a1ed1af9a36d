// SPDX-License-Identifier: Apache-2.0
// Purpose: the keys that blocks are encrypted under where they leave RAM: one for each tenant and
//   user. A key that was destroyed makes noise of all that it sealed.
// Thread-safety: thread-safe.
#pragma once

#include <memory>
#include <string>

#include "libs/base/secret_key.h"

namespace dki::kvcache {

inline constexpr size_t kDataKeyIdSize = 16;

struct DataKey {
  std::string id;  // kDataKeyIdSize random bytes: stands beside what the key sealed
  SecretKey key;
};

class DataKeys {
 public:
  using Held = std::shared_ptr<const DataKey>;

  virtual ~DataKeys() = default;

  // The key to seal with; an empty user: of memories that are no user's. Made when there is none.
  // UNAVAILABLE: keys cannot be had now.
  virtual absl::StatusOr<Held> ForUser(const std::string& tenant_id,
                                       const std::string& user_id) = 0;
  // The key that something was sealed with. NOT_FOUND: it has been destroyed.
  virtual absl::StatusOr<Held> ById(const std::string& tenant_id, const std::string& key_id) = 0;
  // False while there is no use in asking.
  virtual bool IsUp() const = 0;
};

}  // namespace dki::kvcache
