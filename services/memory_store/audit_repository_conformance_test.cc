// SPDX-License-Identifier: Apache-2.0
#include <future>
#include <set>

#include "services/memory_store/audit_fixture.h"

namespace dki::memory_store {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StatusIs;

class AuditRepositoryTest : public ::testing::TestWithParam<std::string> {
 protected:
  AuditRepository& audit() { return backend_->audit(); }

  // A decision and its outcome.
  void Record(const Access& access, int n, const std::string& user) {
    EXPECT_OK(audit().AppendDecision(access, DecisionRequest(n, user)));
    EXPECT_OK(audit().AppendOutcome(access, OutcomeRequest(n)));
  }
  audit::v1::Decision MustGet(const Access& access, int n) {
    const auto decision = audit().GetDecision(access, DecisionId(n));
    EXPECT_OK(decision);
    return decision.ok() ? *decision : audit::v1::Decision();
  }
  audit::v1::VerifyChainResponse MustVerify(const Access& access) {
    const auto result = audit().VerifyChain(access);
    EXPECT_OK(result);
    return result.ok() ? *result : audit::v1::VerifyChainResponse();
  }
  absl::StatusOr<audit::v1::ListDecisionsResponse> List(const Access& access,
                                                        const std::string& user, int page_size,
                                                        const std::string& token = "") {
    audit::v1::ListDecisionsRequest request;
    request.set_user_id(user);
    request.set_page_size(page_size);
    request.set_page_token(token);
    return audit().ListDecisions(access, request);
  }
  static std::vector<std::string> Ids(const audit::v1::ListDecisionsResponse& response) {
    std::vector<std::string> ids;
    for (const auto& decision : response.decisions()) {
      ids.push_back(decision.decision().decision_id());
    }
    return ids;
  }

  std::unique_ptr<AuditBackend> backend_ = MakeAuditBackend(GetParam());
  const Access a_{.tenant_id = "a"};
  const Access b_{.tenant_id = "b"};
};

TEST_P(AuditRepositoryTest, ADecisionIsReadBackWithOutcomeAndTexts) {
  const std::string odd("\0 NUL, é, \xF0\x9F\x98\x80", 15);
  EXPECT_THAT(audit().AppendDecision(a_, DecisionRequest(1, "ann", odd)).value(), 1);
  EXPECT_FALSE(MustGet(a_, 1).has_outcome());
  EXPECT_THAT(audit().AppendOutcome(a_, OutcomeRequest(1, "")).value(), 2);
  const audit::v1::Decision decision = MustGet(a_, 1);
  EXPECT_EQ(decision.decision().gate(), "inject");
  EXPECT_EQ(decision.outcome().status(), "ok");
  EXPECT_EQ(decision.query_text(), odd);
  EXPECT_EQ(decision.answer_text(), "");
  const auto result = MustVerify(a_);
  EXPECT_TRUE(result.valid()) << result.problem();
  EXPECT_EQ(result.n_links(), 2);
  EXPECT_EQ(result.n_texts_checked(), 2);
  EXPECT_EQ(result.n_open(), 0);
  EXPECT_EQ(result.head_hash().size(), 64);
}

TEST_P(AuditRepositoryTest, RepeatingIsHarmlessAndOtherContentsAreNotAcknowledged) {
  EXPECT_EQ(audit().AppendDecision(a_, DecisionRequest(1, "ann")).value(), 1);
  EXPECT_EQ(audit().AppendDecision(a_, DecisionRequest(1, "ann")).value(), 1);
  EXPECT_THAT(audit().AppendDecision(a_, DecisionRequest(1, "bob")),
              StatusIs(StatusCode::kAlreadyExists, HasSubstr(DecisionId(1))));
  EXPECT_EQ(audit().AppendOutcome(a_, OutcomeRequest(1, "first")).value(), 2);
  EXPECT_EQ(audit().AppendOutcome(a_, OutcomeRequest(1, "second")).value(), 2);
  EXPECT_EQ(MustGet(a_, 1).answer_text(), "first");
  const auto result = MustVerify(a_);
  EXPECT_TRUE(result.valid()) << result.problem();
  EXPECT_EQ(result.n_links(), 2);
}

TEST_P(AuditRepositoryTest, AnOutcomeNeedsItsDecision) {
  EXPECT_THAT(audit().AppendOutcome(a_, OutcomeRequest(1)),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_OK(audit().AppendDecision(b_, DecisionRequest(1, "ann")));
  EXPECT_THAT(audit().AppendOutcome(a_, OutcomeRequest(1)),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_EQ(MustVerify(a_).n_links(), 0);
}

TEST_P(AuditRepositoryTest, TenantsHaveChainsOfTheirOwn) {
  Record(a_, 1, "ann");
  Record(b_, 1, "ann");
  EXPECT_THAT(audit().GetDecision({.tenant_id = "c"}, DecisionId(1)),
              StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(audit().EraseTexts({.tenant_id = "c"}, DecisionId(1)),
              StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(Ids(*List({.tenant_id = "c"}, "", 10)), IsEmpty());
  // The same records, but another chain.
  EXPECT_EQ(MustVerify(a_).n_links(), MustVerify(b_).n_links());
  EXPECT_NE(MustVerify(a_).head_hash(), MustVerify(b_).head_hash());
}

TEST_P(AuditRepositoryTest, DecisionsAreListedNewestFirstPageByPage) {
  for (int n = 1; n <= 5; ++n) Record(a_, n, n % 2 == 1 ? "ann" : "bob");
  Record(b_, 6, "ann");
  ASSERT_OK_AND_ASSIGN(const auto first, List(a_, "", 3));
  EXPECT_THAT(Ids(first), ElementsAre(DecisionId(5), DecisionId(4), DecisionId(3)));
  EXPECT_EQ(first.decisions(0).answer_text(), "that");
  ASSERT_OK_AND_ASSIGN(const auto rest, List(a_, "", 3, first.next_page_token()));
  EXPECT_THAT(Ids(rest), ElementsAre(DecisionId(2), DecisionId(1)));
  EXPECT_THAT(rest.next_page_token(), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const auto of_ann, List(a_, "ann", 3));
  EXPECT_THAT(Ids(of_ann), ElementsAre(DecisionId(5), DecisionId(3), DecisionId(1)));
  EXPECT_THAT(of_ann.next_page_token(), IsEmpty());
  // A token is good for its list alone.
  for (const Access& access : {a_, b_}) {
    EXPECT_THAT(List(access, "ann", 3, first.next_page_token()),
                StatusIs(StatusCode::kInvalidArgument, HasSubstr("page_token")));
  }
  EXPECT_THAT(List(b_, "", 3, first.next_page_token()), StatusIs(StatusCode::kInvalidArgument));
}

TEST_P(AuditRepositoryTest, APageOfLongTextsEndsEarly) {
  const std::string third(kMaxPageBytes / 3, 'x');
  for (int n = 1; n <= 4; ++n) {
    EXPECT_OK(audit().AppendDecision(a_, DecisionRequest(n, "ann", third)));
  }
  ASSERT_OK_AND_ASSIGN(const auto first, List(a_, "", 10));
  EXPECT_THAT(Ids(first), ElementsAre(DecisionId(4), DecisionId(3)));
  ASSERT_OK_AND_ASSIGN(const auto rest, List(a_, "", 10, first.next_page_token()));
  EXPECT_THAT(Ids(rest), ElementsAre(DecisionId(2), DecisionId(1)));
}

TEST_P(AuditRepositoryTest, ErasedTextsLeaveAChainThatHolds) {
  Record(a_, 1, "ann");
  Record(a_, 2, "ann");
  const std::string head = MustVerify(a_).head_hash();
  EXPECT_EQ(audit().EraseTexts(a_, DecisionId(1)).value(), 2);
  EXPECT_EQ(audit().EraseTexts(a_, DecisionId(1)).value(), 0);
  EXPECT_EQ(MustGet(a_, 1).query_text() + MustGet(a_, 1).answer_text(), "");
  EXPECT_EQ(MustGet(a_, 2).query_text(), "what?");
  const auto result = MustVerify(a_);
  EXPECT_TRUE(result.valid()) << result.problem();
  EXPECT_EQ(result.n_texts_checked(), 2);
  EXPECT_EQ(result.n_texts_erased(), 2);
  EXPECT_EQ(result.head_hash(), head);
}

TEST_P(AuditRepositoryTest, AnAnswerThatEndsAfterTheErasureLeavesNoText) {
  EXPECT_OK(audit().AppendDecision(a_, DecisionRequest(1, "ann")));
  EXPECT_EQ(audit().EraseTexts(a_, DecisionId(1)).value(), 1);
  EXPECT_OK(audit().AppendOutcome(a_, OutcomeRequest(1)));
  EXPECT_EQ(MustGet(a_, 1).answer_text(), "");
  EXPECT_EQ(MustVerify(a_).n_texts_erased(), 2);
}

TEST_P(AuditRepositoryTest, AbandonedDecisionsAreClosedAsUnknownAndStaySo) {
  EXPECT_OK(audit().AppendDecision(a_, DecisionRequest(1, "ann")));
  EXPECT_OK(audit().AppendDecision(b_, DecisionRequest(1, "ann")));
  backend_->clock.Advance(absl::Minutes(9));
  EXPECT_OK(audit().AppendDecision(a_, DecisionRequest(2, "ann")));
  EXPECT_EQ(audit().CloseAbandoned(absl::Minutes(10)).value(), 0);
  EXPECT_EQ(MustVerify(a_).n_open(), 2);
  backend_->clock.Advance(absl::Minutes(1));
  EXPECT_EQ(audit().CloseAbandoned(absl::Minutes(10)).value(), 2);
  EXPECT_EQ(audit().CloseAbandoned(absl::Minutes(10)).value(), 0);
  // What comes late has the sequence of what is there.
  EXPECT_EQ(audit().AppendOutcome(a_, OutcomeRequest(1)).value(), 3);
  EXPECT_EQ(MustGet(a_, 1).outcome().status(), "unknown");
  EXPECT_EQ(MustGet(a_, 1).answer_text(), "");
  EXPECT_FALSE(MustGet(a_, 2).has_outcome());
  const auto result = MustVerify(a_);
  EXPECT_TRUE(result.valid()) << result.problem();
  EXPECT_EQ(result.n_links(), 3);
  EXPECT_EQ(result.n_open(), 1);
}

TEST_P(AuditRepositoryTest, AppendsAtTheSameTimeMakeOneChain) {
  constexpr int kThreads = 8;
  constexpr int kEach = 5;
  std::vector<std::future<void>> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.push_back(std::async(std::launch::async, [&, t] {
      // Each decision is sent by two threads.
      for (int i = 0; i < kEach; ++i) Record(a_, t / 2 * kEach + i, "ann");
    }));
  }
  for (auto& thread : threads) thread.get();
  const auto result = MustVerify(a_);
  EXPECT_TRUE(result.valid()) << result.problem();
  EXPECT_EQ(result.n_links(), 2 * kEach * kThreads / 2);
}

INSTANTIATE_TEST_SUITE_P(All, AuditRepositoryTest, ::testing::Values("Fake", "Postgres"),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace dki::memory_store
