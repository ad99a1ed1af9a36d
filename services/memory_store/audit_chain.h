// SPDX-License-Identifier: Apache-2.0
// Purpose: the arithmetic of the audit chain: what a link's hash covers, and what a text's hash is.
// Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dki::memory_store {

inline constexpr char kDecisionKind[] = "decision";
inline constexpr char kOutcomeKind[] = "outcome";

struct ChainLink {
  int64_t sequence = 0;  // 1, 2, ...
  std::string kind;
  std::string decision_id;
  std::string payload;        // the record as it was serialised; never serialised again
  std::string previous_hash;  // 32 bytes; empty for the first link
  std::string hash;           // 32 bytes
};

// SHA-256 over all other fields, each behind its length, so that no two links have the same bytes.
std::string LinkHash(const ChainLink& link);

// Hexadecimal SHA-256 of salt and text: what records hold in a text's stead.
std::string TextHash(std::string_view salt, std::string_view text);

// Checks links in order. Empty while the chain holds; else what is wrong with the link just given.
class ChainVerifier {
 public:
  std::string Check(const ChainLink& link);
  int64_t n_links() const { return n_links_; }
  const std::string& head() const { return head_; }

 private:
  int64_t n_links_ = 0;
  std::string head_;
};

}  // namespace dki::memory_store
