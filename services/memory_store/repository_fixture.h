// SPDX-License-Identifier: Apache-2.0
// What every implementation of MemoryRepository, ConversationRepository and FeedSource does: run
// for PostgreSQL and for the fake.
#pragma once

#include <gmock/gmock.h>

#include <memory>

#include "libs/testing/postgres.h"
#include "libs/testing/status_matchers.h"
#include "services/memory_store/in_memory_store.h"
#include "services/memory_store/memory_erasure.h"
#include "services/memory_store/memory_rules.h"
#include "services/memory_store/migrations.h"
#include "services/memory_store/postgres_conversation_repository.h"
#include "services/memory_store/postgres_feed_source.h"
#include "services/memory_store/postgres_memory_repository.h"
#include "services/memory_store/test_requests.h"

namespace dki::memory_store {

// One implementation with its clock.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual MemoryRepository& memories() = 0;
  virtual ConversationRepository& conversations() = 0;
  virtual FeedSource& feed() = 0;
  virtual void EraseTenant(const std::string& tenant_id) = 0;
  virtual void OpenTenant(const std::string& tenant_id) = 0;

  FakeClock clock;
  FeedSignal signal;
};

class FakeBackend : public Backend {
 public:
  MemoryRepository& memories() override { return store_; }
  ConversationRepository& conversations() override { return store_; }
  FeedSource& feed() override { return store_; }
  void EraseTenant(const std::string& tenant_id) override { store_.EraseTenant(tenant_id); }
  void OpenTenant(const std::string& tenant_id) override { store_.OpenTenant(tenant_id); }

 private:
  InMemoryStore store_{&signal, &clock};
};

class PostgresBackend : public Backend {
 public:
  // All tests share one database, empty at the start of each.
  PostgresBackend() {
    const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(30);
    EXPECT_OK(ApplyMigrations(&database_, EmbeddedMigrations(), deadline));
    EXPECT_OK(database_.Transact(deadline, [](pqxx::work& work) {
      work.exec("TRUNCATE feed_heads, feed, memories, requests, conversations, erasures CASCADE");
      return absl::OkStatus();
    }));
  }
  MemoryRepository& memories() override { return memories_; }
  ConversationRepository& conversations() override { return conversations_; }
  FeedSource& feed() override { return feed_; }
  void EraseTenant(const std::string& tenant_id) override {
    EXPECT_OK(database_.Transact(Database::Deadline::max(), [&](pqxx::work& work) {
      EraseTenantMemories(work, tenant_id);
      return absl::OkStatus();
    }));
  }
  void OpenTenant(const std::string& tenant_id) override {
    EXPECT_OK(database_.Transact(Database::Deadline::max(), [&](pqxx::work& work) {
      OpenTenantMemories(work, tenant_id);
      return absl::OkStatus();
    }));
  }

 private:
  static std::string SharedDatabase() {
    static const std::string database = testing::TestPostgres::Get().CreateDatabase();
    return database;
  }

  Database database_{{.connection_string = SharedDatabase()}};
  PostgresMemoryRepository memories_{&database_, &signal, &clock};
  PostgresConversationRepository conversations_{&database_, &clock};
  PostgresFeedSource feed_{&database_};
};

class RepositoryTest : public ::testing::TestWithParam<std::string> {
 protected:
  RepositoryTest() {
    if (GetParam() == "Fake") {
      backend_ = std::make_unique<FakeBackend>();
    } else {
      backend_ = std::make_unique<PostgresBackend>();
    }
  }

  MemoryRepository& memories() { return backend_->memories(); }
  ConversationRepository& conversations() { return backend_->conversations(); }

  std::string NextId() { return "request " + std::to_string(++n_requests_); }

  v1::Memory MustCreate(const Access& access, const v1::NewMemory& memory) {
    const auto response = memories().CreateMemories(access, CreateRequest(NextId(), memory));
    EXPECT_OK(response);
    return response.ok() ? response->results(0).memory() : v1::Memory();
  }

  std::vector<std::string> VisibleTexts(const Access& access,
                                        const std::optional<common::v1::Scope>& viewer) {
    v1::ListMemoriesRequest request;
    if (viewer.has_value()) *request.mutable_viewer() = *viewer;
    const auto response = memories().ListMemories(access, request);
    EXPECT_OK(response);
    std::vector<std::string> texts;
    for (const v1::Memory& memory : response->memories()) texts.push_back(memory.text());
    return texts;
  }

  std::vector<v1::FeedEntry> Feed(const std::string& tenant_id, int64_t after = 0) {
    const auto batch = backend_->feed().ReadFeed(tenant_id, after, 1000, true);
    EXPECT_OK(batch);
    return batch->entries;
  }

  std::vector<v1::FeedEntry::Kind> FeedKinds(const std::string& tenant_id) {
    std::vector<v1::FeedEntry::Kind> kinds;
    for (const v1::FeedEntry& entry : Feed(tenant_id)) kinds.push_back(entry.kind());
    return kinds;
  }

  int64_t Head(const std::string& tenant_id) {
    const auto heads = backend_->feed().ReadHeads(tenant_id);
    EXPECT_OK(heads);
    return heads->empty() ? 0 : heads->front().position;
  }

  std::unique_ptr<Backend> backend_;
  const Access a_{.tenant_id = "a", .admin = true};
  const Access b_{.tenant_id = "b", .admin = true};
  const Access a_member_{.tenant_id = "a", .admin = false};
  int n_requests_ = 0;
};

}  // namespace dki::memory_store
