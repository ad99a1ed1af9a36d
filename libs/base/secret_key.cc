// SPDX-License-Identifier: Apache-2.0
#include "libs/base/secret_key.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include <cstring>

#include "libs/base/check.h"
#include "libs/base/file.h"
#include "libs/base/sha256.h"
#include "libs/base/strings.h"

namespace dki {
namespace {

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

const unsigned char* Data(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* Data(std::string* text) {
  return reinterpret_cast<unsigned char*>(text->data());
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

void Overwrite(std::string* text) {
  OPENSSL_cleanse(text->data(), text->size());
  text->clear();
}

void SecretKey::Cleanse::operator()(Bytes* bytes) const {
  OPENSSL_cleanse(bytes->data(), bytes->size());
  delete bytes;
}

SecretKey::SecretKey() : bytes_(new Bytes) {}

std::string_view SecretKey::view() const {
  return {reinterpret_cast<const char*>(bytes_->data()), kSize};
}

SecretKey SecretKey::Random() {
  SecretKey key;
  DKI_CHECK(RAND_priv_bytes(key.bytes_->data(), kSize) == 1);
  return key;
}

absl::StatusOr<SecretKey> SecretKey::FromBytes(std::string_view bytes) {
  if (bytes.size() != kSize) {
    return InvalidArgument("a key of %d bytes, must be %d", bytes.size(), kSize);
  }
  SecretKey key;
  std::memcpy(key.bytes_->data(), bytes.data(), kSize);
  return key;
}

absl::StatusOr<SecretKey> SecretKey::Load(const std::string& path) {
  DKI_ASSIGN_OR_RETURN(std::string contents, ReadFile(path));
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return Unavailable("cannot stat %s", path);
  if ((info.st_mode & 077) != 0) {
    return FailedPrecondition(
        "key file %s has mode %04o; it must be readable by its owner only "
        "(chmod 600)",
        path, info.st_mode & 07777);
  }
  const std::string_view text = Trim(contents);
  SecretKey key;
  bool is_sound = text.size() == 2 * kSize;
  for (size_t i = 0; i < kSize && is_sound; ++i) {
    const int high = HexDigit(text[2 * i]), low = HexDigit(text[2 * i + 1]);
    is_sound = high >= 0 && low >= 0;
    (*key.bytes_)[i] = static_cast<unsigned char>(high * 16 + low);
  }
  Overwrite(&contents);
  if (!is_sound) {
    return FailedPrecondition("key file %s must hold %d hexadecimal digits", path, 2 * kSize);
  }
  return key;
}

std::string SecretKey::Fingerprint() const {
  Sha256 hash;
  hash.Update("dki key fingerprint 1,");
  hash.Update(view());
  return hash.FinishHex().substr(0, 16);
}

void SecretKey::Seal(std::string_view associated, std::string_view message, std::string_view more,
                     std::string* out) const {
  const size_t start = out->size();
  out->resize(start + kOverhead + message.size() + more.size());
  unsigned char* const nonce = Data(out) + start;
  unsigned char* at = nonce + kNonceSize;
  DKI_CHECK(RAND_bytes(nonce, kNonceSize) == 1);
  const Context context(EVP_CIPHER_CTX_new());
  int n = 0;
  DKI_CHECK(EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, bytes_->data(), nonce) ==
            1);
  DKI_CHECK(EVP_EncryptUpdate(context.get(), nullptr, &n, Data(associated),
                              static_cast<int>(associated.size())) == 1);
  for (const std::string_view part : {message, more}) {
    DKI_CHECK(EVP_EncryptUpdate(context.get(), at, &n, Data(part), static_cast<int>(part.size())) ==
              1);
    at += n;
  }
  DKI_CHECK(EVP_EncryptFinal_ex(context.get(), at, &n) == 1);
  DKI_CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagSize, at) == 1);
}

absl::StatusOr<std::string> SecretKey::Open(std::string_view associated,
                                            std::string_view sealed) const {
  if (sealed.size() < kOverhead) return DataLoss("a sealed message of %d bytes", sealed.size());
  const std::string_view nonce = sealed.substr(0, kNonceSize);
  const std::string_view tag = sealed.substr(sealed.size() - kTagSize);
  const std::string_view text = sealed.substr(kNonceSize, sealed.size() - kOverhead);
  std::string message(text.size(), '\0');
  const Context context(EVP_CIPHER_CTX_new());
  int n = 0;
  DKI_CHECK(EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, bytes_->data(),
                               Data(nonce)) == 1);
  DKI_CHECK(EVP_DecryptUpdate(context.get(), nullptr, &n, Data(associated),
                              static_cast<int>(associated.size())) == 1);
  DKI_CHECK(EVP_DecryptUpdate(context.get(), Data(&message), &n, Data(text),
                              static_cast<int>(text.size())) == 1);
  DKI_CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagSize,
                                const_cast<char*>(tag.data())) == 1);
  if (EVP_DecryptFinal_ex(context.get(), Data(&message) + n, &n) != 1) {
    Overwrite(&message);
    return DataLoss("authentication failed: other bytes, another key or other associated data");
  }
  return message;
}

std::string SecretKey::Wrap(std::string_view associated, const SecretKey& key) const {
  std::string wrapped;
  Seal(associated, key.view(), "", &wrapped);
  return wrapped;
}

absl::StatusOr<SecretKey> SecretKey::Unwrap(std::string_view associated,
                                            std::string_view wrapped) const {
  DKI_ASSIGN_OR_RETURN(std::string bytes, Open(associated, wrapped));
  absl::StatusOr<SecretKey> key = FromBytes(bytes);
  Overwrite(&bytes);
  if (!key.ok()) return DataLoss("not a wrapped key");
  return key;
}

}  // namespace dki
