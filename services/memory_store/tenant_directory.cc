// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/tenant_directory.h"

#include <google/protobuf/util/time_util.h>
#include <openssl/crypto.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/time/time.h"
#include "libs/base/ids.h"
#include "libs/base/sha256.h"
#include "libs/base/strings.h"
#include "libs/base/utf8.h"
#include "services/memory_store/audit_log.h"
#include "services/memory_store/memory_erasure.h"

namespace dki::memory_store {
namespace {

using google::protobuf::util::TimeUtil;

constexpr size_t kIdDigits = 16;
constexpr size_t kRandomBytes = 32;
constexpr size_t kSaltBytes = 16;
constexpr size_t kMaxNoteBytes = 256;
constexpr std::string_view kPrefix = "dki_";

constexpr Statement kAddTenant{"tenant_add",
                               "INSERT INTO tenants VALUES ($1, $2) ON CONFLICT DO NOTHING"};
constexpr Statement kListTenants{"tenant_list", "SELECT id, create_us FROM tenants ORDER BY id"};
constexpr Statement kRemoveTenant{"tenant_remove", "DELETE FROM tenants WHERE id = $1"};
constexpr Statement kLockTenant{"tenant_lock", "SELECT 1 FROM tenants WHERE id = $1 FOR SHARE"};
constexpr Statement kAddKey{"key_add", "INSERT INTO api_keys VALUES ($1, $2, $3, $4, $5, $6, $7)"};
constexpr Statement kListKeys{"key_list",
                              "SELECT id, scopes, note, create_us, revoked FROM api_keys WHERE "
                              "tenant_id = $1 ORDER BY create_us, id"};
constexpr Statement kRevokeKey{
    "key_revoke", "UPDATE api_keys SET revoked = true WHERE tenant_id = $1 AND id = $2"};
constexpr Statement kFindKey{
    "key_find", "SELECT tenant_id, salt, secret_hash, scopes, revoked FROM api_keys WHERE id = $1"};

absl::Status CheckTenantId(const std::string& id) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  if (!id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), allowed))
    return absl::OkStatus();
  return InvalidArgument("id: must be 1 to 64 of a-z, 0-9, _ and -");
}

std::string HashOf(const std::string& salt, const std::string& secret) {
  Sha256 hash;
  hash.Update(salt);
  hash.Update(secret);
  return hash.FinishBytes();
}

// The scopes as stored, sorted and without repetition.
absl::StatusOr<std::string> JoinScopes(const tenant::v1::CreateKeyRequest& request) {
  std::set<std::string> scopes;
  for (const std::string& scope : request.scopes()) {
    DKI_RETURN_IF_ERROR(Annotate(rpc::ParsePermission(scope).status(), "scopes"));
    scopes.insert(scope);
  }
  if (scopes.empty())
    return InvalidArgument("scopes: at least one of chat, memory:read, memory:write, admin");
  std::string joined;
  for (const std::string& scope : scopes) joined += (joined.empty() ? "" : " ") + scope;
  return joined;
}

std::vector<std::string> SplitScopes(const std::string& joined) {
  std::vector<std::string> scopes;
  for (size_t begin = 0; begin < joined.size();) {
    const size_t end = std::min(joined.find(' ', begin), joined.size());
    scopes.push_back(joined.substr(begin, end - begin));
    begin = end + 1;
  }
  return scopes;
}

// The id of the key that a secret claims to be; empty when it has not the form of one.
std::string ClaimedKeyId(const std::string& secret) {
  const size_t id_end = kPrefix.size() + kIdDigits;
  if (secret.size() != id_end + 1 + 43 || secret.compare(0, kPrefix.size(), kPrefix) != 0 ||
      secret[id_end] != '_')
    return "";
  return "key_" + secret.substr(kPrefix.size(), kIdDigits);
}

}  // namespace

absl::StatusOr<tenant::v1::Tenant> TenantDirectory::Create(const std::string& id,
                                                           Deadline deadline) {
  DKI_RETURN_IF_ERROR(CheckTenantId(id));
  const int64_t now = absl::ToUnixMicros(clock_->Now());
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
    if (Exec(work, kAddTenant, id, now).affected_rows() == 0) return AlreadyExists("tenant %s", id);
    OpenTenantMemories(work, id);
    return absl::OkStatus();
  }));
  tenant::v1::Tenant tenant;
  tenant.set_id(id);
  *tenant.mutable_create_time() = TimeUtil::MicrosecondsToTimestamp(now);
  return tenant;
}

absl::StatusOr<std::vector<tenant::v1::Tenant>> TenantDirectory::List(Deadline deadline) {
  std::vector<tenant::v1::Tenant> tenants;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
    tenants.clear();
    for (const pqxx::row& row : Exec(work, kListTenants)) {
      tenants.emplace_back().set_id(row[0].as<std::string>());
      *tenants.back().mutable_create_time() =
          TimeUtil::MicrosecondsToTimestamp(row[1].as<int64_t>());
    }
    return absl::OkStatus();
  }));
  return tenants;
}

absl::Status TenantDirectory::Delete(const std::string& id, Deadline deadline) {
  DKI_RETURN_IF_ERROR(CheckTenantId(id));
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
    if (Exec(work, kRemoveTenant, id).affected_rows() == 0) return NotFound("tenant %s", id);
    EraseTenantMemories(work, id);
    EraseTenantAudit(work, id);
    return absl::OkStatus();
  }));
  signal_->Notify();
  return absl::OkStatus();
}

absl::StatusOr<tenant::v1::CreateKeyResponse> TenantDirectory::CreateKey(
    const std::string& tenant_id, const tenant::v1::CreateKeyRequest& request, Deadline deadline) {
  DKI_ASSIGN_OR_RETURN(const std::string scopes, JoinScopes(request));
  if (request.note().size() > kMaxNoteBytes || request.note().find('\0') != std::string::npos ||
      !IsValidUtf8(request.note())) {
    return InvalidArgument("note: must be at most %d bytes of UTF-8 without NUL", kMaxNoteBytes);
  }
  const std::string digits = HexEncode(RandomBytes(kIdDigits / 2));
  const std::string random = RandomBytes(kRandomBytes);
  std::string encoded;
  absl::WebSafeBase64Escape(ToAbsl(random), &encoded);
  tenant::v1::CreateKeyResponse response;
  response.set_secret(std::string(kPrefix) + digits + "_" + encoded);
  const std::string salt = RandomBytes(kSaltBytes);
  const int64_t now = absl::ToUnixMicros(clock_->Now());
  tenant::v1::ApiKey& key = *response.mutable_key();
  key.set_id("key_" + digits);
  key.set_tenant_id(tenant_id);
  for (const std::string& scope : SplitScopes(scopes)) key.add_scopes(scope);
  key.set_note(request.note());
  *key.mutable_create_time() = TimeUtil::MicrosecondsToTimestamp(now);
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
    if (Exec(work, kLockTenant, tenant_id).empty()) return NotFound("tenant %s", tenant_id);
    Exec(work, kAddKey, key.id(), tenant_id, pqxx::binarystring(salt),
         pqxx::binarystring(HashOf(salt, response.secret())), scopes, request.note(), now);
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<std::vector<tenant::v1::ApiKey>> TenantDirectory::ListKeys(
    const std::string& tenant_id, Deadline deadline) {
  std::vector<tenant::v1::ApiKey> keys;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
    keys.clear();
    for (const pqxx::row& row : Exec(work, kListKeys, tenant_id)) {
      tenant::v1::ApiKey& key = keys.emplace_back();
      key.set_id(row[0].as<std::string>());
      key.set_tenant_id(tenant_id);
      for (const std::string& scope : SplitScopes(row[1].as<std::string>())) key.add_scopes(scope);
      key.set_note(row[2].as<std::string>());
      *key.mutable_create_time() = TimeUtil::MicrosecondsToTimestamp(row[3].as<int64_t>());
      key.set_revoked(row[4].as<bool>());
    }
    return absl::OkStatus();
  }));
  return keys;
}

absl::Status TenantDirectory::RevokeKey(const std::string& tenant_id, const std::string& key_id,
                                        Deadline deadline) {
  if (!IsValidUtf8(key_id) || key_id.empty() || key_id.size() > 64 ||
      key_id.find('\0') != std::string::npos) {
    return InvalidArgument("id: must be the id of a key");
  }
  return database_->Transact(deadline, [&](pqxx::work& work) {
    if (Exec(work, kRevokeKey, tenant_id, key_id).affected_rows() == 0)
      return NotFound("key %s", key_id);
    return absl::OkStatus();
  });
}

absl::StatusOr<rpc::Caller> TenantDirectory::Authenticate(const std::string& secret,
                                                          Deadline deadline) {
  const absl::Status refused = Unauthenticated("the API key is not valid");
  const std::string key_id = ClaimedKeyId(secret);
  if (key_id.empty() || !IsValidUtf8(key_id) || key_id.find('\0') != std::string::npos)
    return refused;
  rpc::Caller caller;
  bool valid = false;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) -> absl::Status {
    valid = false;
    caller = {};
    const pqxx::result found = Exec(work, kFindKey, key_id);
    if (found.empty()) return absl::OkStatus();
    const std::string stored = pqxx::binarystring(found[0][2]).str();
    const std::string shown = HashOf(pqxx::binarystring(found[0][1]).str(), secret);
    valid = stored.size() == shown.size() &&
            CRYPTO_memcmp(stored.data(), shown.data(), stored.size()) == 0 &&
            !found[0][4].as<bool>();
    caller.tenant_id = found[0][0].as<std::string>();
    caller.key_id = key_id;
    for (const std::string& scope : SplitScopes(found[0][3].as<std::string>())) {
      DKI_ASSIGN_OR_RETURN(const rpc::Permission permission, rpc::ParsePermission(scope));
      caller.permissions.insert(permission);
    }
    return absl::OkStatus();
  }));
  if (!valid) return refused;
  return caller;
}

rpc::KeyVerifier TenantDirectory::MakeKeyVerifier() {
  return [this](const std::string& secret) {
    return Authenticate(secret, std::chrono::system_clock::now() + std::chrono::seconds(5));
  };
}

}  // namespace dki::memory_store
