// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/identity.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/stat.h>

#include "libs/base/check.h"
#include "libs/base/file.h"
#include "libs/base/strings.h"

namespace dki::rpc {
namespace {

constexpr std::string_view kPermissionNames[] = {"chat", "memory:read", "memory:write", "admin"};
constexpr size_t kKeyBytes = 32;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Length first, so that no two lists of fields give the same bytes.
void AppendField(std::string_view field, std::string* out) {
  out->append(absl::StrFormat("%d:%s,", field.size(), field));
}

}  // namespace

std::string_view ToString(Permission permission) {
  return kPermissionNames[static_cast<int>(permission)];
}

absl::StatusOr<Permission> ParsePermission(std::string_view text) {
  for (int i = 0; i < 4; ++i) {
    if (text == kPermissionNames[i]) return static_cast<Permission>(i);
  }
  return InvalidArgument(
      "unknown scope \"%s\": it must be chat, memory:read, memory:write or admin",
      Abbreviate(text, 32));
}

bool Caller::May(Permission permission) const {
  return permissions.count(permission) > 0 || permissions.count(Permission::kAdmin) > 0;
}

absl::StatusOr<ClusterKey> ClusterKey::Load(const std::string& path) {
  DKI_ASSIGN_OR_RETURN(const std::string contents, ReadFile(path));
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return Unavailable("cannot stat %s", path);
  if ((info.st_mode & 077) != 0) {
    return FailedPrecondition(
        "cluster key file %s has mode %04o; it must be readable by its owner only (chmod 600)",
        path, info.st_mode & 07777);
  }
  const std::string_view text = Trim(contents);
  std::string bytes;
  if (text.size() == 2 * kKeyBytes) {
    for (size_t i = 0; i < text.size(); i += 2) {
      const int high = HexDigit(text[i]);
      const int low = HexDigit(text[i + 1]);
      if (high < 0 || low < 0) break;
      bytes.push_back(static_cast<char>(high * 16 + low));
    }
  }
  if (bytes.size() != kKeyBytes) {
    return FailedPrecondition("cluster key file %s must hold %d hexadecimal digits", path,
                              2 * kKeyBytes);
  }
  return FromBytes(std::move(bytes));
}

std::string ClusterKey::Sign(const Caller& caller, std::string_view request_id,
                             int64_t issued_unix_ms) const {
  std::string message = "dki cluster identity 1,";
  AppendField(caller.tenant_id, &message);
  AppendField(caller.key_id, &message);
  AppendField(std::to_string(caller.permissions.size()), &message);
  for (const Permission permission : caller.permissions) {
    AppendField(ToString(permission), &message);
  }
  AppendField(request_id, &message);
  AppendField(std::to_string(issued_unix_ms), &message);

  std::string mac(EVP_MAX_MD_SIZE, '\0');
  unsigned int mac_size = 0;
  DKI_CHECK(HMAC(EVP_sha256(), bytes_.data(), static_cast<int>(bytes_.size()),
                 reinterpret_cast<const unsigned char*>(message.data()), message.size(),
                 reinterpret_cast<unsigned char*>(mac.data()), &mac_size) != nullptr);
  mac.resize(mac_size);
  return HexEncode(mac);
}

bool ClusterKey::Verify(const Caller& caller, std::string_view request_id, int64_t issued_unix_ms,
                        std::string_view signature) const {
  const std::string expected = Sign(caller, request_id, issued_unix_ms);
  return signature.size() == expected.size() &&
         CRYPTO_memcmp(signature.data(), expected.data(), expected.size()) == 0;
}

}  // namespace dki::rpc
