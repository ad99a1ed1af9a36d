// SPDX-License-Identifier: Apache-2.0
// Purpose: receipts of erasures: signed by the services that did the work, and checked offline by
//   whoever has their public keys. Pure functions.
//
//   A service signs "dki erasure 1" and the bytes of its ServiceReport; memory_store signs the same
//   way an ErasureStatement that holds the hash of every report. So nothing can be changed, left
//   out or put in. A receipt's file has one form only: what would read the same but is written
//   otherwise is refused, and so every changed byte is found.
#pragma once

#include <string>
#include <vector>

#include "dki/erasure/v1/erasure.pb.h"
#include "libs/base/ed25519.h"
#include "libs/base/status.h"

namespace dki::erasure {

// The service whose key signs statements.
inline constexpr char kStore[] = "memory_store";

using Keyring = std::vector<v1::PublicKey>;

v1::SignedBytes Sign(const SigningKey& key, std::string payload);
// By any of the keyring's keys of `service`.
bool IsSigned(const Keyring& keys, const std::string& service, const v1::SignedBytes& bytes);

// `statement` without parts; `reports` of all services, in order.
v1::Receipt MakeReceipt(const SigningKey& key, v1::ErasureStatement statement,
                        const std::vector<v1::SignedBytes>& reports);

struct VerifiedReceipt {
  v1::ErasureStatement statement;
  std::vector<v1::ServiceReport> reports;
};
// DATA_LOSS says what is wrong.
absl::StatusOr<VerifiedReceipt> Verify(const v1::Receipt& receipt, const Keyring& keys);

// The files: JSON with the signed bytes in base64. Parsing: DATA_LOSS unless the text is exactly
// what Render gives.
std::string RenderReceipt(const v1::Receipt& receipt);
absl::StatusOr<v1::Receipt> ParseReceipt(const std::string& text);
std::string RenderKeyring(const Keyring& keys);
absl::StatusOr<Keyring> ParseKeyring(const std::string& text);

}  // namespace dki::erasure
