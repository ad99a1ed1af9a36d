// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/audit_chain.h"

#include <gtest/gtest.h>

#include <vector>

namespace dki::memory_store {
namespace {

std::vector<ChainLink> MakeChain(int n) {
  std::vector<ChainLink> chain;
  std::string head;
  for (int i = 1; i <= n; ++i) {
    ChainLink link{
        i, kDecisionKind, "dec_" + std::to_string(i), "payload " + std::to_string(i), head, ""};
    link.hash = LinkHash(link);
    head = link.hash;
    chain.push_back(link);
  }
  return chain;
}

// The first link that does not hold; 0 when all do.
int64_t BrokenAt(const std::vector<ChainLink>& chain) {
  ChainVerifier verifier;
  for (size_t i = 0; i < chain.size(); ++i) {
    if (!verifier.Check(chain[i]).empty()) return static_cast<int64_t>(i) + 1;
  }
  return 0;
}

TEST(AuditChainTest, AnUntouchedChainHolds) {
  EXPECT_EQ(BrokenAt(MakeChain(5)), 0);
}

TEST(AuditChainTest, EveryFieldIsCovered) {
  for (int field = 0; field < 4; ++field) {
    auto chain = MakeChain(5);
    ChainLink& link = chain[2];
    std::string* const fields[] = {&link.kind, &link.decision_id, &link.payload,
                                   &link.previous_hash};
    (*fields[field])[0] ^= 1;
    EXPECT_EQ(BrokenAt(chain), 3) << field;
  }
}

TEST(AuditChainTest, RemovedReorderedAndRewrittenLinksShow) {
  auto removed = MakeChain(5);
  removed.erase(removed.begin() + 2);
  EXPECT_EQ(BrokenAt(removed), 3);
  auto reordered = MakeChain(5);
  std::swap(reordered[1], reordered[2]);
  EXPECT_EQ(BrokenAt(reordered), 2);
  // A link rewritten with a hash that fits it breaks at the next.
  auto rewritten = MakeChain(5);
  rewritten[2].payload = "other";
  rewritten[2].hash = LinkHash(rewritten[2]);
  EXPECT_EQ(BrokenAt(rewritten), 4);
}

TEST(AuditChainTest, FieldBordersAreCovered) {
  ChainLink a{1, "decision", "dec_1", "x", "", ""};
  ChainLink b{1, "decisiond", "ec_1", "x", "", ""};
  EXPECT_NE(LinkHash(a), LinkHash(b));
}

}  // namespace
}  // namespace dki::memory_store
