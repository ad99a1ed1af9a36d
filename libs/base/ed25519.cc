// SPDX-License-Identifier: Apache-2.0
#include "libs/base/ed25519.h"

#include <openssl/evp.h>
#include <sys/stat.h>

#include "libs/base/check.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/base/strings.h"

namespace dki {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr size_t kSignatureBytes = 64;

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Context = std::unique_ptr<EVP_MD_CTX, Free>;

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Key PrivateKey(const std::string& seed) {
  Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Bytes(seed), seed.size()));
  DKI_CHECK(key != nullptr);
  return key;
}

// "" where the text is not hexadecimal.
std::string HexDecode(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    int byte = 0;
    for (const char c : hex.substr(i, 2)) {
      const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
      if (digit < 0) return "";
      byte = 16 * byte + digit;
    }
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

}  // namespace

SigningKey::SigningKey(std::string seed) : seed_(std::move(seed)), public_key_(kKeyBytes, '\0') {
  size_t size = public_key_.size();
  DKI_CHECK(EVP_PKEY_get_raw_public_key(PrivateKey(seed_).get(),
                                        reinterpret_cast<unsigned char*>(public_key_.data()),
                                        &size) == 1);
}

SigningKey SigningKey::Generate() {
  return SigningKey(RandomBytes(kKeyBytes));
}

absl::StatusOr<SigningKey> SigningKey::Load(const std::string& path) {
  DKI_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return Unavailable("cannot read %s", path);
  if ((info.st_mode & 077) != 0) {
    return FailedPrecondition("%s can be read by others: chmod 600", path);
  }
  const std::string_view hex = Trim(text);
  std::string seed = hex.size() == 2 * kKeyBytes ? HexDecode(hex) : "";
  if (seed.size() != kKeyBytes) {
    return InvalidArgument("%s: must be %d hexadecimal digits", path, 2 * kKeyBytes);
  }
  return SigningKey(std::move(seed));
}

std::string SigningKey::ToHex() const {
  return HexEncode(seed_);
}

std::string SigningKey::Sign(std::string_view message) const {
  const Key key = PrivateKey(seed_);
  const Context context(EVP_MD_CTX_new());
  std::string signature(kSignatureBytes, '\0');
  size_t size = signature.size();
  DKI_CHECK(context != nullptr &&
            EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
            EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                           Bytes(message), message.size()) == 1);
  return signature;
}

bool IsSignedBy(std::string_view public_key, std::string_view message, std::string_view signature) {
  if (public_key.size() != kKeyBytes || signature.size() != kSignatureBytes) return false;
  const Key key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Bytes(public_key), public_key.size()));
  const Context context(EVP_MD_CTX_new());
  return key != nullptr && context != nullptr &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(message),
                          message.size()) == 1;
}

}  // namespace dki
