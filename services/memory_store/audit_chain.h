// SPDX-License-Identifier: Apache-2.0
// Purpose: the audit chain of a tenant (design section 8), as pure functions: what a link's hash
//   covers, how the next link follows, and whether a stored chain still holds.
//
//   Each number is 8 bytes, big-endian; field(x) is the number of bytes of x, then x.
//     first previous_hash = SHA-256("dki audit chain 1" field(tenant id))
//     hash = SHA-256("dki audit link 1" field(previous_hash) sequence field(kind)
//                    field(decision_id) field(payload))
//   So no two links have the same bytes, and no chain can be shown as another tenant's.
//
//   Who can rewrite every link from some point on, and the head, leaves a chain that holds: keep
//   VerifyChain's head_hash elsewhere to notice that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>

#include "dki/audit/v1/audit.pb.h"
#include "dki/audit/v1/audit_service.pb.h"

namespace dki::memory_store {

// Kinds of links, and of the text beside each.
inline constexpr char kDecisionKind[] = "decision";
inline constexpr char kOutcomeKind[] = "outcome";
inline constexpr char kQueryText[] = "query";
inline constexpr char kAnswerText[] = "answer";

struct ChainHead {
  int64_t sequence = 0;
  std::string hash;  // 32 bytes
};

ChainHead EmptyChain(const std::string& tenant_id);
std::string LinkHash(const audit::v1::ChainLink& link);
// The link after `head`. `payload`: the record as it was serialised, once.
audit::v1::ChainLink NextLink(const ChainHead& head, const std::string& kind,
                              const std::string& decision_id, std::string payload);

// A link with what lies beside it in the store.
struct StoredLink {
  audit::v1::ChainLink link;
  // As the store's index has it: the user of a decision's scope, '' for an outcome.
  std::string user_id;
  // Salt and text; nullopt where the text was erased (or never kept).
  std::optional<std::string> salted_text;
};

// Recomputes a stored chain. Thread-compatible.
class ChainVerifier {
 public:
  // `head` and `n_texts` (all texts of the tenant) as stored.
  ChainVerifier(const std::string& tenant_id, const ChainHead& head, int64_t n_texts)
      : head_(head), n_texts_(n_texts), last_(EmptyChain(tenant_id)) {}

  // All links, in the order of their sequence. False once the chain is broken: the rest is not
  // needed.
  bool Add(const StoredLink& stored);
  // After the last link.
  audit::v1::VerifyChainResponse Finish();
  // No break so far.
  bool holds() const { return result_.problem().empty(); }

 private:
  // What is wrong with the link; empty when nothing is.
  std::string Problem(const StoredLink& stored);
  std::string RecordProblem(const StoredLink& stored);
  std::string TextProblem(const StoredLink& stored, const std::string& kind,
                          const std::string& hash);
  void SetBroken(int64_t sequence, const std::string& problem);

  const ChainHead head_;
  const int64_t n_texts_;
  ChainHead last_;
  std::unordered_set<std::string> open_;  // decisions without an outcome so far
  audit::v1::VerifyChainResponse result_;
};

}  // namespace dki::memory_store
