// SPDX-License-Identifier: Apache-2.0
// Purpose: signatures that anybody can check who has the public key: Ed25519 (RFC 8032), through
//   OpenSSL.
// Thread-safety: const functions are thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "libs/base/status.h"

namespace dki {

class SigningKey {
 public:
  // From the operating system's generator.
  static SigningKey Generate();
  // 64 hexadecimal digits (the private key) in a file that only its owner can read, as Generate's
  // ToHex. NOT_FOUND, FAILED_PRECONDITION (others may read it), INVALID_ARGUMENT (not a key).
  static absl::StatusOr<SigningKey> Load(const std::string& path);

  std::string ToHex() const;
  // 32 bytes.
  const std::string& public_key() const { return public_key_; }
  // 64 bytes.
  std::string Sign(std::string_view message) const;

 private:
  explicit SigningKey(std::string seed);

  std::string seed_;
  std::string public_key_;
};

// Whether `signature` is `message`'s by the owner of `public_key`.
bool IsSignedBy(std::string_view public_key, std::string_view message, std::string_view signature);

}  // namespace dki
