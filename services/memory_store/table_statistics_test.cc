// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/table_statistics.h"

#include <gmock/gmock.h>

#include <string>
#include <thread>

#include "libs/base/clock.h"
#include "libs/testing/postgres.h"
#include "libs/testing/status_matchers.h"
#include "services/memory_store/migrations.h"
#include "services/memory_store/postgres_memory_repository.h"
#include "services/memory_store/test_requests.h"

namespace dki::memory_store {
namespace {

using testing::TestPostgres;

Database::Deadline Soon() {
  return std::chrono::system_clock::now() + std::chrono::seconds(30);
}

class TableStatisticsTest : public ::testing::Test {
 protected:
  int64_t Number(const std::string& sql) {
    int64_t number = -1;
    EXPECT_OK(database_.Transact(Soon(), [&](pqxx::work& work) {
      const pqxx::result rows = work.exec(sql);
      if (!rows.empty()) number = rows[0][0].as<int64_t>();
      return absl::OkStatus();
    }));
    return number;
  }
  // What was written is counted a moment after its commit.
  void WaitUntilCounted(const std::string& table, int64_t n) {
    const auto until = Soon();
    while (Number("SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = '" + table + "'") <
               n &&
           std::chrono::system_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  Database database_{{.connection_string = TestPostgres::Get().CreateDatabase(), .pool_size = 1}};
};

TEST_F(TableStatisticsTest, WhatHasGrownIsAnalysedOnce) {
  ASSERT_OK(database_.Transact(Soon(), [](pqxx::work& work) {
    work.exec("CREATE TABLE grown (x int); CREATE TABLE \"Odd name\" (x int)");
    work.exec("CREATE TABLE s (x int)");
    work.exec("INSERT INTO grown SELECT generate_series(1, 1000)");
    work.exec("INSERT INTO \"Odd name\" SELECT generate_series(1, 1000)");
    work.exec("INSERT INTO s VALUES (1)");
    return absl::OkStatus();
  }));
  WaitUntilCounted("Odd name", 1000);
  EXPECT_EQ(RefreshStatistics(&database_, Soon()).value_or(-1), 2);
  EXPECT_EQ(Number("SELECT reltuples FROM pg_class WHERE relname = 'grown'"), 1000);
  EXPECT_LT(Number("SELECT reltuples FROM pg_class WHERE relname = 's'"), 1);
  EXPECT_EQ(RefreshStatistics(&database_, Soon()).value_or(-1), 0);
}

// A new database, in its first seconds: what one memory costs does not depend on how many there
// are.
TEST_F(TableStatisticsTest, AnAddToANewDatabaseReadsNoOtherMemory) {
  ASSERT_OK(ApplyMigrations(&database_, EmbeddedMigrations(), Soon()));
  FeedSignal signal;
  PostgresMemoryRepository memories(&database_, &signal, RealClock());
  constexpr int kMemories = 200;
  for (int i = 0; i < kMemories; ++i) {
    ASSERT_OK(memories.CreateMemories(
        {.tenant_id = "acme", .admin = true, .deadline = Soon()},
        CreateRequest("request " + std::to_string(i),
                      TextMemory(UserScope("ann"), "note " + std::to_string(i)))));
  }
  WaitUntilCounted("memories", kMemories);
  EXPECT_LT(Number("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = "
                   "'memories_by_age'"),
            2 * kMemories);
}

}  // namespace
}  // namespace dki::memory_store
