// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/key_secret.h"

#include <openssl/crypto.h>

#include <string_view>

#include "absl/strings/escaping.h"
#include "libs/base/ids.h"
#include "libs/base/sha256.h"
#include "libs/base/status.h"
#include "libs/base/strings.h"

namespace dki::memory_store {
namespace {

constexpr std::string_view kPrefix = "dki_";
constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr size_t kIdDigits = 16;
constexpr size_t kRandomBytes = 32;
constexpr size_t kRandomCharacters = 43;
constexpr size_t kSaltBytes = 16;

std::string Hash(const std::string& salt, const std::string& secret) {
  Sha256 hash;
  hash.Update(salt);
  hash.Update(secret);
  return hash.FinishBytes();
}

}  // namespace

KeySecret NewKeySecret() {
  const std::string digits = HexEncode(RandomBytes(kIdDigits / 2));
  const std::string random = RandomBytes(kRandomBytes);
  std::string characters;
  absl::WebSafeBase64Escape(ToAbsl(random), &characters);
  return {.key_id = "key_" + digits, .secret = std::string(kPrefix) + digits + "_" + characters};
}

std::string ClaimedKeyId(const std::string& secret) {
  const std::string_view view = secret;
  if (view.size() != kPrefix.size() + kIdDigits + 1 + kRandomCharacters) return "";
  const std::string_view digits = view.substr(kPrefix.size(), kIdDigits);
  const std::string_view random = view.substr(view.size() - kRandomCharacters);
  const bool has_form = view.substr(0, kPrefix.size()) == kPrefix &&
                        view[kPrefix.size() + kIdDigits] == '_' &&
                        digits.find_first_not_of(kHexDigits) == std::string_view::npos &&
                        random.find_first_not_of(kBase64Url) == std::string_view::npos;
  return has_form ? "key_" + std::string(digits) : "";
}

HashedSecret HashSecret(const std::string& secret) {
  const std::string salt = RandomBytes(kSaltBytes);
  return {.salt = salt, .hash = Hash(salt, secret)};
}

bool Matches(const HashedSecret& stored, const std::string& secret) {
  const std::string hash = Hash(stored.salt, secret);
  return stored.hash.size() == hash.size() &&
         CRYPTO_memcmp(stored.hash.data(), hash.data(), hash.size()) == 0;
}

}  // namespace dki::memory_store
