// SPDX-License-Identifier: Apache-2.0
// Purpose: the secrets of API keys, as pure functions (but for randomness):
//     "dki_" <16 hexadecimal digits of the key's id> "_" <32 random bytes, 43 base64url characters>
//   The id finds the stored key; of the secret only SHA-256(salt, secret) is stored. 256 random
//   bits need no slow hash.
#pragma once

#include <string>

namespace dki::memory_store {

struct KeySecret {
  std::string key_id;  // "key_" and the digits
  std::string secret;
};
KeySecret NewKeySecret();

// The key that a secret claims to be; empty when it has not the form of one.
std::string ClaimedKeyId(const std::string& secret);

struct HashedSecret {
  std::string salt;  // 16 bytes
  std::string hash;  // 32 bytes
};
HashedSecret HashSecret(const std::string& secret);
// In time that does not depend on where they differ.
bool Matches(const HashedSecret& stored, const std::string& secret);

}  // namespace dki::memory_store
