// SPDX-License-Identifier: Apache-2.0
// Purpose: who is calling. A client shows a bearer API key; a service shows the cluster identity:
// metadata signed with the
//   cluster's shared key (HMAC-SHA256) that carries the tenant it acts for.
// Thread-safety: const functions are thread-safe.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "libs/base/status.h"

namespace dki::rpc {

// What a key, or a call, may do. Stored and shown as "chat", "memory:read", "memory:write",
// "admin".
enum class Permission { kChat, kMemoryRead, kMemoryWrite, kAdmin };
std::string_view ToString(Permission permission);
absl::StatusOr<Permission> ParsePermission(std::string_view text);  // INVALID_ARGUMENT

struct Caller {
  std::string tenant_id;  // empty: the cluster itself, for no tenant
  std::string key_id;     // empty when a service calls on its own behalf
  std::set<Permission> permissions;
  bool is_cluster = false;  // came with the cluster identity

  // Admin includes everything.
  bool May(Permission permission) const;
};

// The cluster's shared key.
class ClusterKey {
 public:
  // Reads the key file: 64 hexadecimal digits; it must be readable by its owner only
  // (FAILED_PRECONDITION).
  static absl::StatusOr<ClusterKey> Load(const std::string& path);
  static ClusterKey FromBytes(std::string bytes) { return ClusterKey(std::move(bytes)); }

  // Hexadecimal HMAC-SHA256 over the fields, separated unambiguously.
  std::string Sign(const Caller& caller, std::string_view request_id, int64_t issued_unix_ms) const;
  // Constant-time comparison.
  bool Verify(const Caller& caller, std::string_view request_id, int64_t issued_unix_ms,
              std::string_view signature) const;

 private:
  explicit ClusterKey(std::string bytes) : bytes_(std::move(bytes)) {}
  std::string bytes_;
};

}  // namespace dki::rpc
