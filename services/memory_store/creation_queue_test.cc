// SPDX-License-Identifier: Apache-2.0
// Creations that come at the same time: what they share, and what each has to itself.
#include "services/memory_store/creation_queue.h"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <map>
#include <set>
#include <thread>

#include "libs/base/clock.h"
#include "libs/testing/postgres.h"
#include "libs/testing/status_matchers.h"
#include "services/memory_store/memory_erasure.h"
#include "services/memory_store/memory_rules.h"
#include "services/memory_store/migrations.h"
#include "services/memory_store/test_requests.h"

namespace dki::memory_store {
namespace {

using absl::StatusCode;
using testing::StatusIs;
using testing::TestPostgres;

class CreationQueueTest : public ::testing::Test {
 protected:
  CreationQueueTest() {
    EXPECT_OK(ApplyMigrations(&database_, EmbeddedMigrations(), Soon()));
    // Tenants that are known: a new one's first memory is created alone.
    for (const char* tenant : {"a", "b", "c", "d"}) {
      EXPECT_OK(Run([&](pqxx::work& work) { OpenTenantMemories(work, tenant); }));
    }
  }

  static Database::Deadline Soon() {
    return std::chrono::system_clock::now() + std::chrono::seconds(60);
  }

  template <typename Body>
  absl::Status Run(const Body& body) {
    return database_.Transact(Soon(), [&](pqxx::work& work) {
      body(work);
      return absl::OkStatus();
    });
  }
  int64_t Number(const std::string& sql) {
    int64_t number = -1;
    EXPECT_OK(Run([&](pqxx::work& work) { number = work.exec(sql)[0][0].as<int64_t>(); }));
    return number;
  }

  absl::StatusOr<Created> Create(const std::string& tenant, const std::string& request_id,
                                 const std::string& text, Database::Deadline deadline = Soon()) {
    v1::Memory memory = MakeMemory(TextMemory(UserScope("ann"), text));
    const int n = ++n_ids_;
    memory.set_id("mem_" + tenant + "_" + request_id + "_" + std::to_string(n));
    const v1::Vector vector = UnitVector(n % 4);
    return queue_.Create({.tenant_id = tenant,
                          .request_id = request_id,
                          .request_hash = text,
                          .now_us = 5,
                          .memory = &memory,
                          .vector = &vector},
                         deadline);
  }
  std::future<absl::StatusOr<Created>> CreateLater(const std::string& tenant,
                                                   const std::string& request_id,
                                                   const std::string& text) {
    return std::async(std::launch::async, [=, this] { return Create(tenant, request_id, text); });
  }

  // Holds what every creation writes, so that all that come until `body` has returned wait.
  template <typename Body>
  void WhileTablesAreHeld(const Body& body) {
    EXPECT_OK(Run([&](pqxx::work& work) {
      work.exec("LOCK TABLE memories IN SHARE MODE");
      body();
    }));
  }
  // Until `n` transactions wait for the tables.
  void AwaitRunning(int n) {
    while (Number("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                  "AND datname = current_database()") < n) {
    }
  }
  void AwaitWaiting(int n) {
    while (queue_.n_waiting() < n) std::this_thread::yield();
  }

  Database database_{{.connection_string = TestPostgres::Get().CreateDatabase(), .pool_size = 12}};
  CreationQueue queue_{&database_};
  std::atomic<int> n_ids_ = 0;
};

TEST_F(CreationQueueTest, WhatWaitsTogetherIsCommittedTogether) {
  std::vector<std::future<absl::StatusOr<Created>>> results;
  WhileTablesAreHeld([&] {
    results.push_back(CreateLater("a", "first", "the first one"));
    AwaitRunning(1);
    // Its tenant's others wait for it.
    for (int i = 0; i < 20; ++i) {
      const std::string name = std::to_string(i);
      results.push_back(CreateLater("a", name, "text " + name));
    }
    AwaitWaiting(20);
  });
  std::set<int64_t> positions;
  for (auto& result : results) {
    const auto created = result.get();
    ASSERT_OK(created);
    EXPECT_TRUE(created->created);
    positions.insert(created->position);
    EXPECT_EQ(
        Number("SELECT create_position FROM memories WHERE id = '" + created->memory_id + "'"),
        created->position);
  }
  EXPECT_EQ(positions.size(), 21u);
  EXPECT_EQ(*positions.rbegin(), 21);
  EXPECT_EQ(Number("SELECT position FROM feed_heads WHERE tenant_id = 'a'"), 21);
  EXPECT_EQ(Number("SELECT count(*) FROM feed"), 21);
  EXPECT_EQ(Number("SELECT count(DISTINCT xmin::text) FROM memories"), 2);
  // Each has its own vector.
  EXPECT_EQ(Number("SELECT count(*) FROM memories m JOIN memory_vectors v ON v.memory_id = m.id "
                   "WHERE get_byte(v.values_le, 3 + 4 * (split_part(m.id, '_', 4)::int % 4)) = 63"),
            21);
}

TEST_F(CreationQueueTest, EachOfAGroupHasItsOwnResult) {
  ASSERT_OK_AND_ASSIGN(const Created tea, Create("b", "done before", "tea"));
  EXPECT_OK(Run([](pqxx::work& work) { EraseTenantMemories(work, "d"); }));
  std::map<std::string, std::future<absl::StatusOr<Created>>> results;
  WhileTablesAreHeld([&] {
    // Two groups run at most; what comes then waits.
    results["running a"] = CreateLater("a", "running", "water");
    results["running b"] = CreateLater("b", "running", "wine");
    AwaitRunning(2);
    results["new"] = CreateLater("a", "new", "milk");
    results["again"] = CreateLater("b", "done before", "tea");
    results["other request"] = CreateLater("b", "done before", "coffee");
    results["known text"] = CreateLater("b", "another id", "tea");
    results["twice 1"] = CreateLater("a", "twice", "juice");
    results["twice 2"] = CreateLater("a", "twice", "juice");
    results["same text 1"] = CreateLater("a", "s1", "cocoa");
    results["same text 2"] = CreateLater("a", "s2", "cocoa");
    results["erased"] = CreateLater("d", "late", "milk");
    results["new tenant"] = CreateLater("e", "first", "milk");
    AwaitWaiting(10);
  });
  std::map<std::string, absl::StatusOr<Created>> done;
  for (auto& [name, result] : results) done.emplace(name, result.get());
  const auto get = [&](const std::string& name) { return done.at(name).value(); };

  EXPECT_THAT(done.at("erased"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(done.at("other request"), StatusIs(StatusCode::kInvalidArgument));
  for (const char* name : {"running a", "running b", "new", "new tenant"}) {
    EXPECT_TRUE(get(name).created) << name;
  }
  EXPECT_EQ(get("again").memory_id, tea.memory_id);
  EXPECT_TRUE(get("again").created);
  EXPECT_EQ(get("known text").memory_id, tea.memory_id);
  EXPECT_FALSE(get("known text").created);
  EXPECT_EQ(get("twice 1").memory_id, get("twice 2").memory_id);
  EXPECT_EQ(get("same text 1").memory_id, get("same text 2").memory_id);
  EXPECT_NE(get("same text 1").created, get("same text 2").created);
  EXPECT_EQ(get("new tenant").position, 1);
  EXPECT_EQ(Number("SELECT count(*) FROM memories WHERE tenant_id = 'a'"), 4);
  EXPECT_EQ(Number("SELECT count(*) FROM memories WHERE tenant_id = 'b'"), 2);
  EXPECT_EQ(Number("SELECT count(*) FROM feed WHERE tenant_id = 'a'"), 4);
}

TEST_F(CreationQueueTest, AnErrorIsItsOwnRequestsAlone) {
  EXPECT_OK(Run([](pqxx::work& work) {
    work.exec(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE 'this text is poison'; END$$");
    work.exec(
        "CREATE TRIGGER refuse BEFORE INSERT ON memories FOR EACH ROW "
        "WHEN (NEW.text = 'poison') EXECUTE FUNCTION refuse()");
  }));
  std::vector<std::future<absl::StatusOr<Created>>> others;
  std::future<absl::StatusOr<Created>> poison;
  WhileTablesAreHeld([&] {
    others.push_back(CreateLater("a", "running", "water"));
    AwaitRunning(1);
    poison = CreateLater("a", "poison", "poison");
    for (int i = 0; i < 5; ++i) {
      others.push_back(CreateLater("a", std::to_string(i), "text " + std::to_string(i)));
    }
    AwaitWaiting(6);
  });
  EXPECT_THAT(poison.get(), StatusIs(StatusCode::kInternal, ::testing::HasSubstr("poison")));
  for (auto& other : others) EXPECT_OK(other.get());
  EXPECT_EQ(Number("SELECT count(*) FROM memories"), 6);
}

TEST_F(CreationQueueTest, NobodyWaitsForAnotherTenantsLock) {
  std::future<absl::StatusOr<Created>> held;
  EXPECT_OK(Run([&](pqxx::work& work) {
    work.exec("SELECT * FROM feed_heads WHERE tenant_id = 'a' FOR UPDATE");
    held = CreateLater("a", "held", "tea");
    for (int i = 0; i < 10; ++i) {
      EXPECT_OK(Create(i % 2 == 0 ? "b" : "c", std::to_string(i), "text " + std::to_string(i)));
    }
    EXPECT_FALSE(Create("a", "short", "milk",
                        std::chrono::system_clock::now() + std::chrono::milliseconds(50))
                     .ok());
    EXPECT_EQ(held.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  }));
  EXPECT_OK(held.get());
}

}  // namespace
}  // namespace dki::memory_store
