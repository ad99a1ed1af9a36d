// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/audit_chain.h"

#include "libs/base/sha256.h"

namespace dki::memory_store {
namespace {

std::string Number(uint64_t value) {
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (56 - 8 * i));
  return bytes;
}

}  // namespace

std::string LinkHash(const ChainLink& link) {
  Sha256 hash;
  hash.Update(Number(static_cast<uint64_t>(link.sequence)));
  for (const std::string* field :
       {&link.previous_hash, &link.kind, &link.decision_id, &link.payload}) {
    hash.Update(Number(field->size()));
    hash.Update(*field);
  }
  return hash.FinishBytes();
}

std::string TextHash(std::string_view salt, std::string_view text) {
  Sha256 hash;
  hash.Update(salt);
  hash.Update(text);
  return hash.FinishHex();
}

std::string ChainVerifier::Check(const ChainLink& link) {
  if (link.sequence != n_links_ + 1) return "a link is missing in front of it";
  if (link.previous_hash != head_) return "it does not name the hash of the link before it";
  if (link.hash != LinkHash(link)) return "its content does not have its hash";
  ++n_links_;
  head_ = link.hash;
  return "";
}

}  // namespace dki::memory_store
