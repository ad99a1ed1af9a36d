// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/audit_log.h"

#include <gmock/gmock.h>

#include <thread>

#include "absl/time/time.h"
#include "libs/testing/postgres.h"
#include "libs/testing/status_matchers.h"
#include "services/memory_store/audit_chain.h"
#include "services/memory_store/migrations.h"
#include "services/memory_store/tenant_directory.h"

namespace dki::memory_store {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

Database::Deadline Soon() {
  return std::chrono::system_clock::now() + std::chrono::seconds(30);
}

std::string DecisionId(int i) {
  return absl::StrFormat("dec_%032x", i);
}

class AuditLogTest : public ::testing::Test {
 protected:
  static Database::Options Connection() {
    static const std::string database = testing::TestPostgres::Get().CreateDatabase();
    return {.connection_string = database};
  }
  AuditLogTest()
      : database_(Connection()),
        log_(&database_, &clock_),
        tenants_(&database_, &signal_, &clock_) {
    EXPECT_OK(ApplyMigrations(&database_, EmbeddedMigrations(), Soon()));
    Sql("TRUNCATE audit_heads, audit_links, audit_decisions, audit_texts, tenants CASCADE");
  }
  void Sql(const std::string& sql) {
    EXPECT_OK(database_.Transact(Soon(), [&](pqxx::work& work) {
      work.exec(sql);
      return absl::OkStatus();
    }));
  }

  absl::StatusOr<int64_t> Decide(int i, const std::string& query = "why?",
                                 const std::string& tenant = "t") {
    audit::v1::DecisionRecord record;
    record.set_decision_id(DecisionId(i));
    record.mutable_scope()->set_user_id("user" + std::to_string(i % 2));
    record.set_query_hash(TextHash("salt-of-16-bytes", query));
    AuditLog::Texts texts;
    auto* text = texts.Add();
    text->set_kind("query");
    text->set_salt("salt-of-16-bytes");
    text->set_text(query);
    return log_.AppendDecision(tenant, record, texts, Soon());
  }
  absl::StatusOr<int64_t> Conclude(int i, const std::string& status = "ok") {
    audit::v1::OutcomeRecord record;
    record.set_decision_id(DecisionId(i));
    record.set_status(status);
    return log_.AppendOutcome("t", record, {}, Soon());
  }
  audit::v1::VerifyChainResponse Verify() { return log_.Verify("t", Soon()).value(); }

  Database database_;
  FakeClock clock_;
  FeedSignal signal_;
  AuditLog log_;
  TenantDirectory tenants_;
};

TEST_F(AuditLogTest, DecisionAndOutcomeAreJoined) {
  EXPECT_EQ(Decide(1).value(), 1);
  EXPECT_FALSE(log_.Get("t", DecisionId(1), Soon())->has_outcome());
  EXPECT_EQ(Verify().n_open(), 1);
  EXPECT_EQ(Conclude(1).value(), 2);
  const auto decision = log_.Get("t", DecisionId(1), Soon()).value();
  EXPECT_EQ(decision.query_text(), "why?");
  EXPECT_EQ(decision.outcome().status(), "ok");
  const auto verified = Verify();
  EXPECT_TRUE(verified.valid()) << verified.problem();
  EXPECT_EQ(verified.n_links(), 2);
  EXPECT_EQ(verified.n_open(), 0);
  EXPECT_EQ(verified.n_texts_checked(), 1);
}

TEST_F(AuditLogTest, RepeatedAppendsChangeNothing) {
  ASSERT_OK(Decide(1).status());
  EXPECT_EQ(Decide(1).value(), 1);
  ASSERT_OK(Conclude(1).status());
  EXPECT_EQ(Conclude(1, "error").value(), 2);
  EXPECT_EQ(log_.Get("t", DecisionId(1), Soon())->outcome().status(), "ok");
  EXPECT_EQ(Verify().n_links(), 2);
}

TEST_F(AuditLogTest, WhatDoesNotBelongIsRefused) {
  EXPECT_THAT(Conclude(7).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(DecisionId(7))));
  audit::v1::DecisionRecord record;
  record.set_decision_id(DecisionId(1));
  record.set_query_hash(TextHash("salt", "one text"));
  AuditLog::Texts texts;
  auto* text = texts.Add();
  text->set_kind("query");
  text->set_salt("salt");
  text->set_text("another text");
  EXPECT_THAT(log_.AppendDecision("t", record, texts, Soon()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("hash")));
  EXPECT_THAT(log_.Get("t", DecisionId(1), Soon()).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("dec_")));
}

TEST_F(AuditLogTest, TenantsHaveChainsOfTheirOwn) {
  ASSERT_OK(Decide(1).status());
  EXPECT_EQ(Decide(2, "mine", "other").value(), 1);
  EXPECT_THAT(log_.Get("t", DecisionId(2), Soon()).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("dec_")));
  EXPECT_EQ(log_.Verify("other", Soon())->n_links(), 1);
}

TEST_F(AuditLogTest, TamperingShowsWhereItWasDone) {
  const auto fresh = [&] {
    Sql("TRUNCATE audit_heads, audit_links, audit_decisions, audit_texts");
    for (int i = 1; i <= 3; ++i) {
      ASSERT_OK(Decide(i).status());
      ASSERT_OK(Conclude(i).status());
    }
    ASSERT_TRUE(Verify().valid());
  };
  struct Case {
    const char* sql;
    int64_t broken_at;
  };
  for (const Case& c :
       {Case{"UPDATE audit_links SET payload = set_byte(payload, 3, 255 - get_byte(payload, 3)) "
             "WHERE sequence = 3",
             3},
        Case{"DELETE FROM audit_links WHERE sequence = 4", 5},
        Case{"UPDATE audit_links SET sequence = -sequence WHERE sequence IN (2, 3);"
             "UPDATE audit_links SET sequence = 5 + sequence WHERE sequence < 0",
             2},
        Case{"UPDATE audit_links SET decision_id = 'dec_x' WHERE sequence = 2", 2},
        Case{"DELETE FROM audit_links WHERE sequence = 6", 6},
        Case{"UPDATE audit_texts SET text = 'what else?' WHERE decision_id LIKE '%2'", 3},
        Case{"UPDATE audit_heads SET hash = set_byte(hash, 9, 255 - get_byte(hash, 9))", 6}}) {
    fresh();
    Sql(c.sql);
    const auto result = Verify();
    EXPECT_FALSE(result.valid()) << c.sql;
    EXPECT_EQ(result.broken_sequence(), c.broken_at) << c.sql << ": " << result.problem();
  }
}

TEST_F(AuditLogTest, ErasedTextsLeaveTheChainValid) {
  ASSERT_OK(Decide(1, "a secret question").status());
  EXPECT_EQ(log_.EraseTexts("t", DecisionId(1), Soon()).value(), 1);
  EXPECT_EQ(log_.EraseTexts("t", DecisionId(1), Soon()).value(), 0);
  const auto result = Verify();
  EXPECT_TRUE(result.valid()) << result.problem();
  EXPECT_EQ(result.n_texts_erased(), 1);
  EXPECT_EQ(log_.Get("t", DecisionId(1), Soon())->query_text(), "");
}

TEST_F(AuditLogTest, AbandonedDecisionsAreClosedAsUnknownOnce) {
  ASSERT_OK(Decide(1).status());
  ASSERT_OK(log_.CloseAbandoned(std::chrono::minutes(10)));
  EXPECT_EQ(Verify().n_open(), 1);
  clock_.Advance(absl::Minutes(11));
  ASSERT_OK(log_.CloseAbandoned(std::chrono::minutes(10)));
  EXPECT_EQ(log_.Get("t", DecisionId(1), Soon())->outcome().status(), "unknown");
  ASSERT_OK(Conclude(1).status());  // too late
  EXPECT_EQ(log_.Get("t", DecisionId(1), Soon())->outcome().status(), "unknown");
  EXPECT_TRUE(Verify().valid());
}

TEST_F(AuditLogTest, ListsNewestFirstAndBindsItsTokens) {
  for (int i = 1; i <= 5; ++i) ASSERT_OK(Decide(i).status());
  audit::v1::ListDecisionsRequest request;
  request.set_page_size(2);
  std::vector<std::string> ids;
  do {
    const auto page = log_.List("t", request, Soon()).value();
    for (const auto& d : page.decisions()) ids.push_back(d.decision().decision_id());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(ids, (std::vector<std::string>{DecisionId(5), DecisionId(4), DecisionId(3),
                                           DecisionId(2), DecisionId(1)}));
  request.set_user_id("user1");
  EXPECT_EQ(log_.List("t", request, Soon())->decisions_size(), 2);
  request.set_page_token(log_.List("t", request, Soon())->next_page_token());
  EXPECT_FALSE(log_.List("other", request, Soon()).ok());
}

TEST_F(AuditLogTest, ConcurrentAppendsMakeOneChain) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 10; ++i) {
        EXPECT_OK(Decide(100 * t + i).status());
        EXPECT_OK(Conclude(100 * t + i).status());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto result = Verify();
  EXPECT_TRUE(result.valid()) << result.problem();
  EXPECT_EQ(result.n_links(), 80);
}

using TenantDirectoryTest = AuditLogTest;

TEST_F(TenantDirectoryTest, KeysAuthenticateUntilRevoked) {
  ASSERT_OK(tenants_.Create("acme", Soon()).status());
  EXPECT_EQ(tenants_.Create("acme", Soon()).status().code(), absl::StatusCode::kAlreadyExists);
  tenant::v1::CreateKeyRequest request;
  request.add_scopes("chat");
  request.add_scopes("memory:read");
  const auto made = tenants_.CreateKey("acme", request, Soon()).value();
  const auto caller = tenants_.Authenticate(made.secret(), Soon()).value();
  EXPECT_EQ(caller.tenant_id, "acme");
  EXPECT_TRUE(caller.May(rpc::Permission::kChat));
  EXPECT_FALSE(caller.May(rpc::Permission::kMemoryWrite));
  for (size_t i = 0; i < made.secret().size(); ++i) {
    std::string wrong = made.secret();
    wrong[i] = wrong[i] == 'a' ? 'b' : 'a';
    EXPECT_EQ(tenants_.Authenticate(wrong, Soon()).status().code(),
              absl::StatusCode::kUnauthenticated)
        << i;
  }
  for (const std::string& bad : {std::string(), std::string("dki_"), std::string(1000, 'x'),
                                 made.secret() + "a", std::string(64, '\0')}) {
    EXPECT_EQ(tenants_.Authenticate(bad, Soon()).status().code(),
              absl::StatusCode::kUnauthenticated);
  }
  ASSERT_OK(tenants_.RevokeKey("acme", made.key().id(), Soon()));
  EXPECT_EQ(tenants_.Authenticate(made.secret(), Soon()).status().code(),
            absl::StatusCode::kUnauthenticated);
  EXPECT_TRUE(tenants_.ListKeys("acme", Soon())->at(0).revoked());
}

TEST_F(TenantDirectoryTest, TheSecretIsNotStored) {
  ASSERT_OK(tenants_.Create("acme", Soon()).status());
  tenant::v1::CreateKeyRequest request;
  request.add_scopes("admin");
  const std::string secret = tenants_.CreateKey("acme", request, Soon())->secret();
  EXPECT_OK(database_.Transact(Soon(), [&](pqxx::work& work) {
    const std::string row = work.exec("SELECT k::text FROM api_keys k")[0][0].as<std::string>();
    EXPECT_EQ(row.find(secret.substr(21)), std::string::npos);
    return absl::OkStatus();
  }));
}

TEST_F(TenantDirectoryTest, BadRequestsNameTheField) {
  for (const char* id : {"", "Acme", "a b", "a/b"}) {
    EXPECT_THAT(tenants_.Create(id, Soon()).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("id")))
        << id;
  }
  tenant::v1::CreateKeyRequest request;
  EXPECT_THAT(tenants_.CreateKey("acme", request, Soon()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("scopes")));
  request.add_scopes("everything");
  EXPECT_THAT(tenants_.CreateKey("acme", request, Soon()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("scopes")));
  request.set_scopes(0, "chat");
  EXPECT_THAT(tenants_.CreateKey("acme", request, Soon()).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("acme")));
}

TEST_F(TenantDirectoryTest, ADeletedTenantLeavesNothing) {
  ASSERT_OK(tenants_.Create("acme", Soon()).status());
  tenant::v1::CreateKeyRequest request;
  request.add_scopes("chat");
  const auto key = tenants_.CreateKey("acme", request, Soon()).value();
  ASSERT_OK(Decide(1, "why?", "acme").status());
  ASSERT_OK(tenants_.Delete("acme", Soon()));
  EXPECT_EQ(tenants_.Authenticate(key.secret(), Soon()).status().code(),
            absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(log_.Verify("acme", Soon())->n_links(), 0);
  EXPECT_EQ(tenants_.Delete("acme", Soon()).code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace dki::memory_store
