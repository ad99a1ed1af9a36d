// SPDX-License-Identifier: Apache-2.0
// What every implementation of AuditRepository and TenantRepository does is run for PostgreSQL and
// for the fakes; short ways for tests to say what is recorded.
#pragma once

#include <gmock/gmock.h>

#include <memory>
#include <string>

#include "libs/base/sha256.h"
#include "libs/testing/postgres.h"
#include "libs/testing/status_matchers.h"
#include "services/memory_store/audit_rules.h"
#include "services/memory_store/in_memory_audit_repository.h"
#include "services/memory_store/in_memory_store.h"
#include "services/memory_store/in_memory_tenant_repository.h"
#include "services/memory_store/migrations.h"
#include "services/memory_store/postgres_audit_repository.h"
#include "services/memory_store/postgres_memory_repository.h"
#include "services/memory_store/postgres_tenant_repository.h"
#include "services/memory_store/test_requests.h"

namespace dki::memory_store {

constexpr char kSalt[] = "sixteen bytes...";

// "dec_" and 32 digits.
inline std::string DecisionId(int n) {
  return absl::StrFormat("dec_%032x", n);
}

// With the texts that `query` and `answer` are; "" leaves hash and text away.
inline audit::v1::AppendDecisionRequest DecisionRequest(int n, const std::string& user,
                                                        const std::string& query = "what?") {
  audit::v1::AppendDecisionRequest request;
  request.mutable_decision()->set_decision_id(DecisionId(n));
  request.mutable_decision()->mutable_scope()->set_user_id(user);
  request.mutable_decision()->set_gate("inject");
  if (query.empty()) return request;
  request.mutable_decision()->set_query_hash(Sha256Hex(kSalt + query));
  audit::v1::SideText* text = request.add_texts();
  text->set_kind("query");
  text->set_salt(kSalt);
  text->set_text(query);
  return request;
}

inline audit::v1::AppendOutcomeRequest OutcomeRequest(int n, const std::string& answer = "that") {
  audit::v1::AppendOutcomeRequest request;
  request.mutable_outcome()->set_decision_id(DecisionId(n));
  request.mutable_outcome()->set_status("ok");
  request.mutable_outcome()->set_answer_hash(Sha256Hex(kSalt + answer));
  audit::v1::SideText* text = request.add_texts();
  text->set_kind("answer");
  text->set_salt(kSalt);
  text->set_text(answer);
  return request;
}

// One set of implementations with its clock.
class AuditBackend {
 public:
  virtual ~AuditBackend() = default;
  virtual AuditRepository& audit() = 0;
  virtual TenantRepository& tenants() = 0;
  virtual MemoryRepository& memories() = 0;

  FakeClock clock;
  FeedSignal signal;
};

class FakeAuditBackend : public AuditBackend {
 public:
  AuditRepository& audit() override { return audit_; }
  TenantRepository& tenants() override { return tenants_; }
  MemoryRepository& memories() override { return store_; }

 private:
  InMemoryStore store_{&signal, &clock};
  InMemoryAuditRepository audit_{&clock};
  InMemoryTenantRepository tenants_{&store_, &audit_, &clock};
};

class PostgresAuditBackend : public AuditBackend {
 public:
  // All tests share one database, empty at the start of each.
  PostgresAuditBackend() {
    EXPECT_OK(ApplyMigrations(&database_, EmbeddedMigrations(),
                              std::chrono::system_clock::now() + std::chrono::seconds(30)));
    Run("TRUNCATE feed_heads, feed, memories, requests, conversations, tenants, api_keys, "
        "audit_heads, audit_links, audit_open, audit_texts, audit_decisions, audit_attended, "
        "erasures, feed_followers, signing_keys CASCADE");
  }
  AuditRepository& audit() override { return audit_; }
  TenantRepository& tenants() override { return tenants_; }
  MemoryRepository& memories() override { return memories_; }

  // What someone with the database's password could do. Returns the rows affected.
  int64_t Run(const std::string& sql) {
    int64_t n_rows = 0;
    EXPECT_OK(database_.Transact(Database::Deadline::max(), [&](pqxx::work& work) {
      n_rows = static_cast<int64_t>(work.exec(sql).affected_rows());
      return absl::OkStatus();
    }));
    return n_rows;
  }
  int64_t Number(const std::string& sql) {
    int64_t number = -1;
    EXPECT_OK(database_.Transact(Database::Deadline::max(), [&](pqxx::work& work) {
      number = work.exec(sql)[0][0].as<int64_t>();
      return absl::OkStatus();
    }));
    return number;
  }
  std::string Bytes(const std::string& sql) {
    std::string bytes;
    EXPECT_OK(database_.Transact(Database::Deadline::max(), [&](pqxx::work& work) {
      bytes = pqxx::binarystring(work.exec(sql)[0][0]).str();
      return absl::OkStatus();
    }));
    return bytes;
  }

  static std::string SharedDatabase() {
    static const std::string database = testing::TestPostgres::Get().CreateDatabase();
    return database;
  }

 private:
  Database database_{{.connection_string = SharedDatabase()}};
  PostgresMemoryRepository memories_{&database_, &signal, &clock};
  PostgresAuditRepository audit_{&database_, &clock};
  PostgresTenantRepository tenants_{&database_, &signal, &clock};
};

inline std::unique_ptr<AuditBackend> MakeAuditBackend(const std::string& name) {
  if (name == "Fake") return std::make_unique<FakeAuditBackend>();
  return std::make_unique<PostgresAuditBackend>();
}

}  // namespace dki::memory_store
