// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/authenticate.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "absl/strings/numbers.h"
#include "libs/base/ids.h"
#include "libs/base/strings.h"

namespace dki::rpc {
namespace {

constexpr absl::Duration kValidity = absl::Minutes(5);
constexpr size_t kMaxSecretBytes = 512;
constexpr std::string_view kBearer = "bearer ";

std::string_view View(const grpc::string_ref& ref) {
  return {ref.data(), ref.size()};
}

// The value of `key` when it was sent exactly once.
std::optional<std::string_view> Find(const Metadata& metadata, const char* key) {
  const auto [first, last] = metadata.equal_range(key);
  if (first == last || std::next(first) != last) return std::nullopt;
  return View(first->second);
}

absl::StatusOr<std::set<Permission>> ParsePermissions(std::string_view list) {
  std::set<Permission> permissions;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    DKI_ASSIGN_OR_RETURN(const Permission permission, ParsePermission(list.substr(0, comma)));
    permissions.insert(permission);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return permissions;
}

std::string JoinPermissions(const std::set<Permission>& permissions) {
  std::string list;
  for (const Permission permission : permissions) {
    if (!list.empty()) list += ',';
    list += ToString(permission);
  }
  return list;
}

absl::StatusOr<Caller> ClusterCaller(const Metadata& metadata, const ClusterKey& key,
                                     absl::Time now) {
  const auto tenant = Find(metadata, "dki-tenant");
  const auto key_id = Find(metadata, "dki-key-id");
  const auto permissions = Find(metadata, "dki-permissions");
  const auto issued = Find(metadata, "dki-issued");
  const auto request_id = Find(metadata, kRequestIdKey);
  const auto signature = Find(metadata, "dki-signature");
  int64_t issued_unix_ms = 0;
  if (!tenant || !key_id || !permissions || !issued || !request_id || !signature ||
      !absl::SimpleAtoi(ToAbsl(*issued), &issued_unix_ms)) {
    return Unauthenticated("the cluster identity is incomplete");
  }
  Caller caller;
  caller.tenant_id = std::string(*tenant);
  caller.key_id = std::string(*key_id);
  const auto parsed = ParsePermissions(*permissions);
  if (!parsed.ok()) return Unauthenticated("the cluster identity names an unknown permission");
  caller.permissions = *parsed;
  if (!key.Verify(caller, *request_id, issued_unix_ms, *signature)) {
    return Unauthenticated("the cluster identity's signature is wrong (another cluster key?)");
  }
  const absl::Duration age = now - absl::FromUnixMillis(issued_unix_ms);
  if (absl::AbsDuration(age) > kValidity) {
    return Unauthenticated("the cluster identity is %s old; at most %s either way (clocks?)",
                           ToStd(absl::FormatDuration(age)),
                           ToStd(absl::FormatDuration(kValidity)));
  }
  caller.is_cluster = true;
  return caller;
}

absl::StatusOr<Caller> BearerCaller(std::string_view authorization, const KeyVerifier& verifier) {
  const bool is_bearer =
      authorization.size() > kBearer.size() &&
      std::equal(kBearer.begin(), kBearer.end(), authorization.begin(),
                 [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); });
  if (!is_bearer) return Unauthenticated("the authorization must be \"Bearer KEY\"");
  if (!verifier) return Unauthenticated("this service accepts only the cluster identity");
  const std::string_view secret = Trim(authorization.substr(kBearer.size()));
  if (secret.empty() || secret.size() > kMaxSecretBytes) {
    return Unauthenticated("the API key has %d bytes; it must have 1 to %d", secret.size(),
                           kMaxSecretBytes);
  }
  DKI_ASSIGN_OR_RETURN(Caller caller, verifier(std::string(secret)));
  if (caller.tenant_id.empty()) return Internal("the API key belongs to no tenant");
  caller.is_cluster = false;
  return caller;
}

}  // namespace

bool IsValidRequestId(std::string_view id) {
  return !id.empty() && id.size() <= 128 &&
         std::all_of(id.begin(), id.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

std::string RequestIdOf(const Metadata& metadata) {
  const auto id = Find(metadata, kRequestIdKey);
  return id && IsValidRequestId(*id) ? std::string(*id) : NewId("req_");
}

absl::StatusOr<Caller> Authenticate(const Metadata& metadata, const ClusterKey& key,
                                    const KeyVerifier& verifier, absl::Time now) {
  if (metadata.count("dki-signature") > 0) return ClusterCaller(metadata, key, now);
  const auto authorization = Find(metadata, "authorization");
  if (authorization) return BearerCaller(*authorization, verifier);
  if (!verifier) return Unauthenticated("this service accepts only the cluster identity");
  return Unauthenticated("no credentials: send \"authorization: Bearer KEY\"");
}

void AddClusterIdentity(const ClusterKey& key, const Caller& caller, const std::string& request_id,
                        absl::Time now, grpc::ClientContext* context) {
  const std::string id = IsValidRequestId(request_id) ? request_id : NewId("req_");
  const int64_t issued_unix_ms = absl::ToUnixMillis(now);
  context->AddMetadata("dki-tenant", caller.tenant_id);
  context->AddMetadata("dki-key-id", caller.key_id);
  context->AddMetadata("dki-permissions", JoinPermissions(caller.permissions));
  context->AddMetadata("dki-issued", std::to_string(issued_unix_ms));
  context->AddMetadata(kRequestIdKey, id);
  context->AddMetadata("dki-signature", key.Sign(caller, id, issued_unix_ms));
}

}  // namespace dki::rpc
