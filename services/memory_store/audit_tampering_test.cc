// SPDX-License-Identifier: Apache-2.0
// Whatever is changed behind the store's back, in SQL, VerifyChain says that and where.
#include "libs/base/strings.h"
#include "services/memory_store/audit_chain.h"
#include "services/memory_store/audit_fixture.h"

namespace dki::memory_store {
namespace {

using ::testing::HasSubstr;

class AuditTamperingTest : public ::testing::Test {
 protected:
  // Decisions 1 to 3 at links 1, 3, 5 of tenant "a"; their outcomes at 2, 4, 6. The same for "b".
  AuditTamperingTest() {
    for (const Access& access : {a_, b_}) {
      for (int n = 1; n <= 3; ++n) {
        EXPECT_OK(audit().AppendDecision(access, DecisionRequest(n, n == 2 ? "bob" : "ann")));
        EXPECT_OK(audit().AppendOutcome(access, OutcomeRequest(n)));
      }
    }
    EXPECT_TRUE(Verify().valid());
  }

  AuditRepository& audit() { return backend_.audit(); }
  audit::v1::VerifyChainResponse Verify() {
    const auto result = audit().VerifyChain(a_);
    EXPECT_OK(result);
    return result.ok() ? *result : audit::v1::VerifyChainResponse();
  }
  // After `sql` the chain of "a" is broken at `sequence` because of `problem`.
  void ExpectBroken(const std::string& sql, int64_t sequence, const std::string& problem) {
    EXPECT_GT(backend_.Run(sql), 0) << sql;
    const auto result = Verify();
    EXPECT_FALSE(result.valid()) << sql;
    EXPECT_EQ(result.broken_sequence(), sequence) << result.problem();
    EXPECT_THAT(result.problem(), HasSubstr(problem));
    const auto other = audit().VerifyChain(b_);
    EXPECT_TRUE(other.ok() && other->valid());
  }

  PostgresAuditBackend backend_;
  const Access a_{.tenant_id = "a"};
  const Access b_{.tenant_id = "b"};
};

TEST_F(AuditTamperingTest, EveryFlippedByteOfARecord) {
  const int64_t n_bytes = backend_.Number(
      "SELECT octet_length(payload) FROM audit_links WHERE tenant_id = 'a' AND sequence = 3");
  ASSERT_GT(n_bytes, 36);
  for (int64_t i = 0; i < n_bytes; ++i) {
    const std::string flip = absl::StrFormat(
        "UPDATE audit_links SET payload = set_byte(payload, %d, get_byte(payload, %d) # 1) "
        "WHERE tenant_id = 'a' AND sequence = 3",
        i, i);
    ExpectBroken(flip, 3, "altered");
    backend_.Run(flip);
  }
  EXPECT_TRUE(Verify().valid());
}

TEST_F(AuditTamperingTest, AColumnBesideTheRecord) {
  ExpectBroken("UPDATE audit_links SET kind = 'x' || kind WHERE tenant_id = 'a' AND sequence = 3",
               3, "altered");
}

TEST_F(AuditTamperingTest, ARemovedLink) {
  ExpectBroken("DELETE FROM audit_links WHERE tenant_id = 'a' AND sequence = 3", 3, "missing");
}

TEST_F(AuditTamperingTest, ARemovedLinkWithTheRestMovedUp) {
  backend_.Run("DELETE FROM audit_links WHERE tenant_id = 'a' AND sequence IN (3, 4)");
  ExpectBroken(
      "UPDATE audit_links SET sequence = sequence - 2 WHERE tenant_id = 'a' AND sequence "
      "> 4",
      3, "does not follow");
}

TEST_F(AuditTamperingTest, LinksInAnotherOrder) {
  backend_.Run("UPDATE audit_links SET sequence = -3 WHERE tenant_id = 'a' AND sequence = 3");
  backend_.Run("UPDATE audit_links SET sequence = 3 WHERE tenant_id = 'a' AND sequence = 5");
  ExpectBroken("UPDATE audit_links SET sequence = 5 WHERE tenant_id = 'a' AND sequence = -3", 3,
               "does not follow");
}

TEST_F(AuditTamperingTest, ACutEnd) {
  ExpectBroken("DELETE FROM audit_links WHERE tenant_id = 'a' AND sequence > 4", 5, "cut");
}

TEST_F(AuditTamperingTest, ACutEndWithTheHeadMovedBack) {
  const std::string head = Verify().head_hash();
  backend_.Run("DELETE FROM audit_links WHERE tenant_id = 'a' AND sequence > 4");
  backend_.Run(
      "UPDATE audit_heads h SET sequence = 4, hash = l.hash FROM audit_links l "
      "WHERE h.tenant_id = 'a' AND l.tenant_id = 'a' AND l.sequence = 4");
  // The texts that lay beside them give it away; without them only a head kept elsewhere does.
  EXPECT_THAT(Verify().problem(), HasSubstr("2 texts belong to no record"));
  EXPECT_EQ(backend_.Run("DELETE FROM audit_texts WHERE tenant_id = 'a' AND decision_id = '" +
                         DecisionId(3) + "'"),
            2);
  EXPECT_TRUE(Verify().valid());
  EXPECT_NE(Verify().head_hash(), head);
}

TEST_F(AuditTamperingTest, AHead) {
  ExpectBroken("UPDATE audit_heads SET sequence = 4 WHERE tenant_id = 'a'", 5, "beyond");
  backend_.Run("UPDATE audit_heads SET sequence = 6 WHERE tenant_id = 'a'");
  EXPECT_TRUE(Verify().valid());
  ExpectBroken(
      "UPDATE audit_heads SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1) "
      "WHERE tenant_id = 'a'",
      6, "head");
  ExpectBroken("DELETE FROM audit_heads WHERE tenant_id = 'a'", 1, "beyond");
}

TEST_F(AuditTamperingTest, ATextOrItsSalt) {
  for (const int byte : {0, 16}) {
    const std::string flip = absl::StrFormat(
        "UPDATE audit_texts SET salted_text = set_byte(salted_text, %d, get_byte(salted_text, %d) "
        "# 1) WHERE tenant_id = 'a' AND decision_id = '%s' AND kind = 'answer'",
        byte, byte, DecisionId(2));
    ExpectBroken(flip, 4, "answer text");
    backend_.Run(flip);
  }
}

TEST_F(AuditTamperingTest, ATextUnderAnotherDecision) {
  backend_.Run("DELETE FROM audit_texts WHERE tenant_id = 'a' AND kind = 'query'");
  ExpectBroken("INSERT INTO audit_texts VALUES ('a', '" + DecisionId(9) + "', 'query', 'x')", 6,
               "1 texts belong to no record");
}

TEST_F(AuditTamperingTest, ADecisionHiddenFromItsUsersList) {
  ExpectBroken("UPDATE audit_links SET user_id = 'bob' WHERE tenant_id = 'a' AND sequence = 1", 1,
               "another user");
}

TEST_F(AuditTamperingTest, AChainOfAnotherTenant) {
  for (const char* table : {"audit_links", "audit_texts", "audit_heads"}) {
    backend_.Run(absl::StrFormat("DELETE FROM %s WHERE tenant_id = 'a'", table));
  }
  backend_.Run(
      "INSERT INTO audit_texts SELECT 'a', decision_id, kind, salted_text FROM "
      "audit_texts WHERE tenant_id = 'b'");
  backend_.Run(
      "INSERT INTO audit_heads SELECT 'a', sequence, hash FROM audit_heads "
      "WHERE tenant_id = 'b'");
  ExpectBroken(
      "INSERT INTO audit_links SELECT 'a', sequence, kind, decision_id, user_id, payload, "
      "previous_hash, hash FROM audit_links WHERE tenant_id = 'b'",
      1, "does not follow");
}

TEST_F(AuditTamperingTest, ARecordWithAHashThatFitsIt) {
  const audit::v1::AppendDecisionRequest forged = DecisionRequest(2, "bob", "");
  audit::v1::ChainLink link;
  link.set_sequence(3);
  link.set_kind(kDecisionKind);
  link.set_decision_id(DecisionId(2));
  link.set_payload(forged.decision().SerializeAsString());
  backend_.Run("DELETE FROM audit_texts WHERE tenant_id = 'a' AND kind = 'query'");
  link.set_previous_hash(backend_.Bytes(
      "SELECT previous_hash FROM audit_links WHERE tenant_id = 'a' AND sequence = 3"));
  ExpectBroken(absl::StrFormat("UPDATE audit_links SET payload = '\\x%s', hash = '\\x%s' WHERE "
                               "tenant_id = 'a' AND sequence = 3",
                               HexEncode(link.payload()), HexEncode(LinkHash(link))),
               4, "does not follow");
}

// Fixed for ever: chains that were written must verify with every later version.
TEST(AuditChainTest, TheHashOfALinkIsWhatTheHeaderSays) {
  const ChainHead empty = EmptyChain("default");
  const audit::v1::ChainLink link = NextLink(empty, kDecisionKind, DecisionId(1), "payload");
  EXPECT_EQ(HexEncode(empty.hash),
            "c8f0d59205d3829689673b9fb16259484ac050c3bf8055512a342086592400b1");
  EXPECT_EQ(HexEncode(link.hash()),
            "1de9591317a0120f6213493478a3a2f12bcb1ec90fa8a4665a4a84ae589da00b");
}

TEST(AuditChainTest, NoTwoLinksHaveTheSameBytes) {
  const ChainHead empty = EmptyChain("default");
  EXPECT_NE(NextLink(empty, "ab", "c", "p").hash(), NextLink(empty, "a", "bc", "p").hash());
  EXPECT_NE(NextLink(empty, "a", "b", "cp").hash(), NextLink(empty, "a", "bc", "p").hash());
}

}  // namespace
}  // namespace dki::memory_store
