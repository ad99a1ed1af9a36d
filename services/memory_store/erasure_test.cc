// SPDX-License-Identifier: Apache-2.0
// Erasures on PostgreSQL: what goes with a memory or a scope, and who must say so.
#include "libs/erasure/receipt.h"
#include "services/memory_store/audit_fixture.h"
#include "services/memory_store/erasure_repository.h"
#include "services/memory_store/erasure_transaction.h"
#include "services/memory_store/postgres_conversation_repository.h"

namespace dki::memory_store {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::StatusIs;
using ::testing::UnorderedElementsAre;

class ErasureTest : public ::testing::Test {
 protected:
  v1::Memory Add(const std::string& user, const std::string& text) {
    const auto created = backend_.memories().CreateMemories(
        a_, CreateRequest("add " + text, TextMemory(UserScope(user), text)));
    EXPECT_OK(created);
    return created->results(0).memory();
  }
  std::string AddConversation(const std::string& user) {
    v1::CreateConversationRequest request;
    request.set_request_id("conversation " + std::to_string(++n_));
    *request.mutable_scope() = UserScope(user);
    const auto created = conversations_.CreateConversation(a_, request);
    EXPECT_OK(created);
    return created->conversation_id();
  }
  absl::StatusOr<v1::AppendMessagesResponse> Append(const std::string& conversation, int decision) {
    v1::AppendMessagesRequest request;
    request.set_request_id(DecisionId(decision) + ":messages");
    request.set_conversation_id(conversation);
    request.set_decision_id(DecisionId(decision));
    request.add_messages()->set_role("user");
    request.add_messages()->set_role("assistant");
    return conversations_.AppendMessages(a_, request);
  }
  // Decision n of ann, which attended to the memories.
  audit::v1::AppendDecisionRequest Attending(int n, const std::vector<v1::Memory>& memories,
                                             const std::string& conversation = "") {
    audit::v1::AppendDecisionRequest request = DecisionRequest(n, "ann");
    request.set_only_current(true);
    request.mutable_decision()->set_conversation_id(conversation);
    for (const v1::Memory& memory : memories) {
      auto* chosen = request.mutable_decision()->add_chosen();
      chosen->set_memory_id(memory.id());
      chosen->set_version(memory.version());
    }
    return request;
  }
  // A finished turn of the conversation.
  void Turn(int n, const std::vector<v1::Memory>& memories, const std::string& conversation) {
    EXPECT_OK(backend_.audit().AppendDecision(a_, Attending(n, memories, conversation)));
    EXPECT_OK(backend_.audit().AppendOutcome(a_, OutcomeRequest(n)));
    if (!conversation.empty()) {
      EXPECT_OK(Append(conversation, n));
    }
  }
  v1::DeleteMemoryResponse Delete(const v1::Memory& memory, bool with_conversations = false) {
    v1::DeleteMemoryRequest request = DeleteRequest("delete " + memory.id(), memory.id());
    request.set_with_conversations(with_conversations);
    const auto deleted = backend_.memories().DeleteMemory(a_, request);
    EXPECT_OK(deleted);
    return deleted.ok() ? *deleted : v1::DeleteMemoryResponse();
  }
  int NumberOfMessages(const std::string& conversation) {
    v1::ListMessagesRequest request;
    request.set_conversation_id(conversation);
    const auto listed = conversations_.ListMessages(a_, request);
    return listed.ok() ? listed->messages_size() : -1;
  }
  std::string AnswerOf(int n) {
    const auto decision = backend_.audit().GetDecision(a_, DecisionId(n));
    EXPECT_OK(decision);
    return decision->answer_text();
  }
  // Store to number of items.
  std::map<std::string, int64_t> Items(const std::string& erasure_id) {
    const auto stored = erasures_.Get("a", erasure_id, Database::Deadline::max());
    EXPECT_OK(stored);
    std::map<std::string, int64_t> items;
    if (!stored.ok()) return items;
    for (const auto& store : stored->statement.stores()) items[store.store()] = store.items();
    return items;
  }
  std::vector<std::string> Due(const std::string& service) {
    const auto due = erasures_.ListDue(service, Database::Deadline::max());
    EXPECT_OK(due);
    std::vector<std::string> ids;
    for (const auto& erasure : due->due()) ids.push_back(erasure.erasure_id());
    return ids;
  }
  absl::Status Report(const SigningKey& key, const std::string& service,
                      const std::string& erasure_id) {
    erasure::v1::ServiceReport report;
    report.set_service(service);
    report.set_erasure_id(erasure_id);
    return erasures_.AddReport(erasure::Sign(key, report.SerializeAsString()),
                               Database::Deadline::max());
  }

  PostgresAuditBackend backend_;
  Database database_{{.connection_string = PostgresAuditBackend::SharedDatabase()}};
  PostgresConversationRepository conversations_{&database_, &backend_.clock};
  ErasureRepository erasures_{&database_, &backend_.clock};
  const Access a_{.tenant_id = "a", .admin = true};
  int n_ = 0;
};

TEST_F(ErasureTest, NamesTheConversationsThatAttendedAndLeavesThem) {
  const v1::Memory tea = Add("ann", "tea");
  const v1::Memory milk = Add("ann", "milk");
  const std::string with_tea = AddConversation("ann");
  const std::string without = AddConversation("ann");
  Turn(1, {tea, milk}, with_tea);
  Turn(2, {milk}, without);
  Turn(3, {tea}, "");
  const v1::DeleteMemoryResponse deleted = Delete(tea);
  EXPECT_THAT(deleted.conversation_ids(), ElementsAre(with_tea));
  EXPECT_EQ(NumberOfMessages(with_tea), 2);
  EXPECT_EQ(AnswerOf(1), "that");
  const auto items = Items(deleted.erasure_id());
  EXPECT_EQ(items.at("memories"), 1);
  EXPECT_EQ(items.at("vectors"), 1);
  EXPECT_EQ(items.at("messages"), 0);
  EXPECT_EQ(items.at("requests"), 1);
  EXPECT_TRUE(backend_.audit().VerifyChain(a_)->valid());
}

TEST_F(ErasureTest, WithConversationsTakesMessagesAndTextsOfThemAll) {
  const v1::Memory tea = Add("ann", "tea");
  const std::string conversation = AddConversation("ann");
  const std::string other = AddConversation("ann");
  Turn(1, {tea}, conversation);
  Turn(2, {}, conversation);  // may repeat what the first turn said
  Turn(3, {tea}, "");
  Turn(4, {}, other);
  const v1::DeleteMemoryResponse deleted = Delete(tea, true);
  EXPECT_THAT(deleted.conversation_ids(), ElementsAre(conversation));
  EXPECT_EQ(NumberOfMessages(conversation), 0);
  EXPECT_EQ(NumberOfMessages(other), 2);
  for (const int n : {1, 2, 3}) EXPECT_EQ(AnswerOf(n), "") << n;
  EXPECT_EQ(AnswerOf(4), "that");
  const auto items = Items(deleted.erasure_id());
  EXPECT_EQ(items.at("messages"), 4);
  EXPECT_EQ(items.at("audit_texts"), 6);
  EXPECT_TRUE(backend_.audit().VerifyChain(a_)->valid());
  // The conversation can go on.
  Turn(5, {}, conversation);
  EXPECT_EQ(NumberOfMessages(conversation), 2);
}

TEST_F(ErasureTest, AnAnswerThatEndsAfterwardsLeavesNothing) {
  const v1::Memory tea = Add("ann", "tea");
  const std::string conversation = AddConversation("ann");
  EXPECT_OK(backend_.audit().AppendDecision(a_, Attending(1, {tea}, conversation)));
  Delete(tea, true);
  EXPECT_OK(backend_.audit().AppendOutcome(a_, OutcomeRequest(1)));
  EXPECT_OK(Append(conversation, 1));
  EXPECT_EQ(AnswerOf(1), "");
  EXPECT_EQ(NumberOfMessages(conversation), 0);
}

TEST_F(ErasureTest, NoDecisionUsesAMemoryAfterItsDeletionIsAcknowledged) {
  const v1::Memory tea = Add("ann", "tea");
  const v1::Memory milk = Add("ann", "milk");
  EXPECT_OK(backend_.audit().AppendDecision(a_, Attending(1, {tea, milk})));
  Delete(tea);
  EXPECT_THAT(backend_.audit().AppendDecision(a_, Attending(2, {tea, milk})),
              StatusIs(StatusCode::kAborted));
  EXPECT_OK(backend_.audit().AppendDecision(a_, Attending(2, {milk})));
  // What was decided while the log was away is a fact all the same.
  audit::v1::AppendDecisionRequest late = Attending(3, {tea});
  late.set_only_current(false);
  EXPECT_OK(backend_.audit().AppendDecision(a_, late));
  // Another version is not what was decided on.
  const auto updated =
      backend_.memories().UpdateMemory(a_, TextUpdate("update", milk.id(), "oat milk"));
  EXPECT_OK(updated);
  EXPECT_THAT(backend_.audit().AppendDecision(a_, Attending(4, {milk})),
              StatusIs(StatusCode::kAborted));
  EXPECT_OK(backend_.audit().AppendDecision(a_, Attending(4, {updated->memory()})));
}

TEST_F(ErasureTest, AScopeGoesWithItsConversationsAndTheTextsOfItsDecisions) {
  const v1::Memory tea = Add("ann", "tea");
  const v1::Memory shared = Add("", "shared");
  Add("bob", "beer");
  const std::string anns = AddConversation("ann");
  const std::string bobs = AddConversation("bob");
  Turn(1, {shared}, anns);
  Turn(2, {}, "");
  Turn(3, {tea}, bobs);  // (nobody's scope would allow it: only to have one outside)
  v1::EraseScopeRequest request;
  request.set_request_id("erase ann");
  request.mutable_scope()->set_user_id("ann");
  ASSERT_OK_AND_ASSIGN(const auto erased, backend_.memories().EraseScope(a_, request));
  EXPECT_EQ(erased.memories(), 1);
  EXPECT_EQ(erased.conversations(), 1);
  EXPECT_THAT(erased.conversation_ids(), ElementsAre(bobs));
  EXPECT_EQ(NumberOfMessages(anns), -1);
  EXPECT_EQ(NumberOfMessages(bobs), 2);
  for (const int n : {1, 2, 3}) EXPECT_EQ(AnswerOf(n), "") << n;  // all of ann's decisions
  EXPECT_EQ(backend_.Number("SELECT count(*) FROM memories"), 2);
}

TEST_F(ErasureTest, NoHashOfAnErasedTextIsLeft) {
  const v1::Memory tea = Add("ann", "tea");
  v1::BatchCreateMemoriesRequest batch;
  batch.set_request_id("batch");
  *batch.add_memories() = TextMemory(UserScope("ann"), "one");
  *batch.add_memories() = TextMemory(UserScope("ann"), "two");
  ASSERT_OK_AND_ASSIGN(const auto made, backend_.memories().CreateMemories(a_, batch));
  EXPECT_OK(backend_.memories().UpdateMemory(a_, TextUpdate("update", tea.id(), "green tea")));
  const std::string hashed = "SELECT count(*) FROM requests WHERE hash <> ''";
  EXPECT_EQ(backend_.Number(hashed), 3);
  Delete(tea);
  EXPECT_EQ(backend_.Number(hashed + " AND request_id NOT LIKE 'delete%'"), 1);
  Delete(made.results(1).memory());
  EXPECT_EQ(backend_.Number(hashed + " AND request_id NOT LIKE 'delete%'"), 0);
  // The ids stay taken: what was done is not done again.
  EXPECT_THAT(backend_.memories().CreateMemories(
                  a_, CreateRequest("add tea", TextMemory(UserScope("ann"), "tea"))),
              StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(backend_.memories().CreateMemories(a_, batch), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(backend_.memories().UpdateMemory(a_, TextUpdate("update", tea.id(), "green tea")),
              StatusIs(StatusCode::kNotFound));
}

TEST_F(ErasureTest, ThePlannerKeepsNoSamplesOfTexts) {
  for (int i = 0; i < 50; ++i) Add("ann", "tea number " + std::to_string(i));
  backend_.Run("ANALYZE");
  EXPECT_EQ(backend_.Number("SELECT count(*) FROM pg_stats WHERE tablename = 'memories' AND "
                            "attname = 'user_id'"),
            1);
  EXPECT_EQ(backend_.Number("SELECT count(*) FROM pg_stats WHERE schemaname = 'public' AND attname "
                            "IN ('text', 'content', 'salted_text', 'metadata', 'values_le')"),
            0);
}

TEST_F(ErasureTest, EveryFollowerMustReportOnceSignedByItsOwnKey) {
  const auto until = Database::Deadline::max();
  const SigningKey kv = SigningKey::Generate();
  const SigningKey retrieval = SigningKey::Generate();
  EXPECT_OK(erasures_.AddKey("kv", kv.public_key(), true, until));
  EXPECT_OK(erasures_.AddKey("retrieval", retrieval.public_key(), true, until));
  EXPECT_OK(erasures_.AddKey("memory_store", SigningKey::Generate().public_key(), false, until));
  const std::string id = Delete(Add("ann", "tea")).erasure_id();
  EXPECT_OK(erasures_.AddKey("late", SigningKey::Generate().public_key(), true, until));
  EXPECT_THAT(Due("kv"), ElementsAre(id));
  EXPECT_THAT(Due("late"), IsEmpty());
  EXPECT_THAT(Due("memory_store"), IsEmpty());

  EXPECT_THAT(Report(retrieval, "kv", id), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(Report(kv, "nobody", id), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(Report(kv, "kv", "era_none"), StatusIs(StatusCode::kNotFound));
  EXPECT_OK(Report(kv, "kv", id));
  EXPECT_OK(Report(kv, "kv", id));
  EXPECT_THAT(Due("kv"), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const auto stored, erasures_.Get("a", id, until));
  ASSERT_EQ(stored.reports.size(), 2);
  EXPECT_TRUE(stored.reports[0].bytes.has_value());
  EXPECT_FALSE(stored.reports[1].bytes.has_value());
  EXPECT_THAT(erasures_.Get("b", id, until), StatusIs(StatusCode::kNotFound));
  EXPECT_OK(erasures_.Get("", id, until));

  EXPECT_OK(erasures_.RemoveFollower("retrieval", until));
  EXPECT_THAT(erasures_.RemoveFollower("retrieval", until), StatusIs(StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const auto after, erasures_.Get("a", id, until));
  EXPECT_EQ(after.reports.size(), 1);
  EXPECT_EQ(erasures_.ListKeys(until)->size(), 4);
}

TEST_F(ErasureTest, ConnectionsAreRenewedAfterAnErasure) {
  const auto backend_pid = [&] {
    int64_t pid = 0;
    EXPECT_OK(database_.Transact(Database::Deadline::max(), [&](pqxx::work& work) {
      pid = work.exec("SELECT pg_backend_pid()")[0][0].as<int64_t>();
      return absl::OkStatus();
    }));
    return pid;
  };
  const v1::Memory tea = Add("ann", "tea");
  EXPECT_OK(erasures_.RenewConnections());
  const int64_t before = backend_pid();
  EXPECT_OK(erasures_.RenewConnections());
  EXPECT_EQ(backend_pid(), before);
  Delete(tea);
  EXPECT_OK(erasures_.RenewConnections());
  EXPECT_NE(backend_pid(), before);
}

TEST_F(ErasureTest, ATenantsErasureOutlivesIt) {
  EXPECT_OK(backend_.tenants().CreateTenant("a", Database::Deadline::max()));
  EXPECT_OK(
      erasures_.AddKey("kv", SigningKey::Generate().public_key(), true, Database::Deadline::max()));
  const v1::Memory tea = Add("ann", "tea");
  Turn(1, {tea}, AddConversation("ann"));
  ASSERT_OK_AND_ASSIGN(const std::string id,
                       backend_.tenants().DeleteTenant("a", Database::Deadline::max()));
  const auto items = Items(id);
  EXPECT_EQ(items.at("memories"), 1);
  EXPECT_EQ(items.at("messages"), 2);
  EXPECT_EQ(items.at("audit_texts"), 2);
  EXPECT_THAT(Due("kv"), ElementsAre(id));
  EXPECT_EQ(backend_.Number("SELECT count(*) FROM audit_attended"), 0);
}

}  // namespace
}  // namespace dki::memory_store
