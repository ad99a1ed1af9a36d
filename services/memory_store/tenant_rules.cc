// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/tenant_rules.h"

#include "services/memory_store/field_checks.h"

namespace dki::memory_store {
namespace {

constexpr size_t kMaxTenantIdBytes = 64;
constexpr size_t kMaxNoteBytes = 256;

}  // namespace

absl::Status ValidateTenantId(const std::string& id) {
  const bool is_valid =
      !id.empty() && id.size() <= kMaxTenantIdBytes &&
      id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string::npos;
  return is_valid ? absl::OkStatus()
                  : InvalidArgument("id: must be 1 to %d of a-z, 0-9, _ and -", kMaxTenantIdBytes);
}

absl::Status ValidateKeyId(const std::string& id) {
  return CheckHexId("id", id, "key_", 16);
}

absl::Status Validate(const tenant::v1::CreateKeyRequest& request) {
  if (request.scopes().empty()) {
    return InvalidArgument(
        "scopes: must have at least one of chat, memory:read, memory:write, admin");
  }
  for (int i = 0; i < request.scopes_size(); ++i) {
    DKI_RETURN_IF_ERROR(Annotate(rpc::ParsePermission(request.scopes(i)).status(),
                                 absl::StrFormat("scopes[%d]", i)));
  }
  return CheckString("note", request.note(), 0, kMaxNoteBytes);
}

std::set<rpc::Permission> Permissions(const tenant::v1::ApiKey& key) {
  std::set<rpc::Permission> permissions;
  for (const std::string& scope : key.scopes()) {
    const auto permission = rpc::ParsePermission(scope);
    if (permission.ok()) permissions.insert(*permission);
  }
  return permissions;
}

absl::Status NoSuchTenant(const std::string& id) {
  return NotFound("tenant %s", id);
}
absl::Status TenantExists(const std::string& id) {
  return AlreadyExists("tenant %s", id);
}
absl::Status KeyNotFound(const std::string& id) {
  return NotFound("key %s", id);
}

}  // namespace dki::memory_store
