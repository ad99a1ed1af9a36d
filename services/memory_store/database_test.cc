// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/database.h"

#include <gmock/gmock.h>

#include <future>
#include <optional>
#include <thread>

#include "libs/testing/postgres.h"
#include "libs/testing/status_matchers.h"
#include "services/memory_store/migrations.h"

namespace dki::memory_store {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;
using testing::TestPostgres;

Database::Deadline In(std::chrono::milliseconds duration) {
  return std::chrono::system_clock::now() + duration;
}
Database::Deadline Soon() {
  return In(std::chrono::seconds(30));
}

class DatabaseTest : public ::testing::Test {
 protected:
  Database::Options SmallPool(int pool_size) {
    return {.connection_string = connection_, .pool_size = pool_size};
  }
  absl::Status Run(const std::string& sql) {
    return database_.Transact(Soon(), [&](pqxx::work& work) {
      work.exec(sql);
      return absl::OkStatus();
    });
  }
  int64_t Number(const std::string& sql) {
    int64_t number = -1;
    EXPECT_OK(database_.Transact(Soon(), [&](pqxx::work& work) {
      number = work.exec(sql)[0][0].as<int64_t>();
      return absl::OkStatus();
    }));
    return number;
  }

  const std::string connection_ = TestPostgres::Get().CreateDatabase();
  Database database_{SmallPool(4)};
};

TEST_F(DatabaseTest, OneStatementIsItsOwnTransaction) {
  ASSERT_OK(Run("CREATE TABLE t (x int)"));
  const auto insert = [](pqxx::transaction_base& work) {
    work.exec("INSERT INTO t VALUES (1)");
    return absl::OkStatus();
  };
  EXPECT_OK(database_.Write(Soon(), insert));
  EXPECT_OK(database_.Write(In(std::chrono::seconds(1)), insert)) << "a deadline of its own";
  int64_t n = 0;
  EXPECT_OK(database_.Read(Soon(), [&](pqxx::transaction_base& work) {
    n = work.exec("SELECT count(*) FROM t")[0][0].as<int64_t>();
    return absl::OkStatus();
  }));
  EXPECT_EQ(n, 2);
  // The connections of before are noticed to be closed: nothing is in doubt, nothing fails.
  TestPostgres::Get().Restart();
  EXPECT_OK(database_.Write(Soon(), insert));
  EXPECT_EQ(Number("SELECT count(*) FROM t"), 3);
}

TEST_F(DatabaseTest, AReadIsRunAgainAndAWriteIsNotWhenTheConnectionIsLost) {
  int n_runs = 0;
  const auto die = [&](pqxx::transaction_base& work) {
    ++n_runs;
    work.exec("SELECT pg_terminate_backend(pg_backend_pid())");
    return absl::OkStatus();
  };
  EXPECT_THAT(database_.Write(Soon(), die),
              StatusIs(StatusCode::kUnavailable, HasSubstr("repeat")));
  EXPECT_EQ(n_runs, 1);
  EXPECT_THAT(database_.Read(Soon(), die), StatusIs(StatusCode::kUnavailable));
  EXPECT_EQ(n_runs, 3);
}

TEST_F(DatabaseTest, ABodyThatFailsLeavesNothing) {
  ASSERT_OK(Run("CREATE TABLE t (x int)"));
  EXPECT_THAT(database_.Transact(Soon(),
                                 [](pqxx::work& work) {
                                   work.exec("INSERT INTO t VALUES (1)");
                                   return NotFound("no");
                                 }),
              StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(database_.Transact(Soon(),
                                 [](pqxx::work& work) -> absl::Status {
                                   work.exec("INSERT INTO t VALUES (1)");
                                   throw std::runtime_error("a bug");
                                 }),
              StatusIs(StatusCode::kInternal, HasSubstr("a bug")));
  EXPECT_EQ(Number("SELECT count(*) FROM t"), 0);
}

TEST_F(DatabaseTest, ErrorsAreConverted) {
  EXPECT_THAT(Run("SELECT 1/0"), StatusIs(StatusCode::kInternal, HasSubstr("22012")));
  EXPECT_THAT(Run("SELECT * FROM not_migrated_yet"), StatusIs(StatusCode::kUnavailable));
  Database nowhere({.connection_string = "host=/nonexistent dbname=x"});
  EXPECT_THAT(nowhere.Transact(Soon(), [](pqxx::work&) { return absl::OkStatus(); }),
              StatusIs(StatusCode::kUnavailable));
}

TEST_F(DatabaseTest, SlowStatementsEndAtTheTimeoutOrTheDeadline) {
  Database impatient({.connection_string = connection_,
                      .pool_size = 1,
                      .statement_timeout = std::chrono::milliseconds(20)});
  const auto sleep = [](pqxx::work& work) {
    work.exec("SELECT pg_sleep(100)");
    return absl::OkStatus();
  };
  EXPECT_THAT(impatient.Transact(Soon(), sleep), StatusIs(StatusCode::kDeadlineExceeded));
  EXPECT_THAT(database_.Transact(In(std::chrono::milliseconds(20)), sleep),
              StatusIs(StatusCode::kDeadlineExceeded));
  // The next transaction has the usual timeout again.
  EXPECT_EQ(Number("SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'"), 5000);
}

TEST_F(DatabaseTest, WhoGetsNoConnectionInTimeIsTurnedAway) {
  Database single(SmallPool(1));
  const absl::Status inner_status = [&] {
    std::optional<absl::Status> inner;
    EXPECT_OK(single.Transact(Soon(), [&](pqxx::work&) {
      inner = single.Transact(In(std::chrono::milliseconds(5)),
                              [](pqxx::work&) { return absl::OkStatus(); });
      return absl::OkStatus();
    }));
    return *inner;
  }();
  EXPECT_THAT(inner_status, StatusIs(StatusCode::kUnavailable, HasSubstr("1 connections")));
}

TEST_F(DatabaseTest, WaitersGetTheConnectionThatIsReleased) {
  Database single(SmallPool(1));
  std::vector<std::future<absl::Status>> runs;
  for (int i = 0; i < 8; ++i) {
    runs.push_back(std::async(std::launch::async, [&] {
      return single.Transact(Soon(), [](pqxx::work& work) {
        work.exec("SELECT 1");
        return absl::OkStatus();
      });
    }));
  }
  for (auto& run : runs) EXPECT_OK(run.get());
}

TEST_F(DatabaseTest, ALostConnectionIsReplacedAndTheBodyRunAgain) {
  constexpr Statement kOne{"one", "SELECT 1"};
  int n_runs = 0;
  EXPECT_OK(database_.Transact(Soon(), [&](pqxx::work& work) {
    Exec(work, kOne);
    if (++n_runs == 1) work.exec("SELECT pg_terminate_backend(pg_backend_pid())");
    Exec(work, kOne);
    return absl::OkStatus();
  }));
  EXPECT_EQ(n_runs, 2);
}

TEST_F(DatabaseTest, ItOutlivesRestartsOfTheServer) {
  ASSERT_OK(Run("CREATE TABLE t (x int)"));
  TestPostgres::Get().Restart();
  EXPECT_OK(Run("INSERT INTO t VALUES (1)"));
  TestPostgres::Get().Stop();
  EXPECT_THAT(Run("INSERT INTO t VALUES (2)"), StatusIs(StatusCode::kUnavailable));
  TestPostgres::Get().Start();
  EXPECT_OK(Run("INSERT INTO t VALUES (3)"));
  EXPECT_EQ(Number("SELECT sum(x) FROM t"), 4);
}

TEST_F(DatabaseTest, ConflictsAreRetriedThenAborted) {
  int n_runs = 0;
  const auto conflict = [&](int until) {
    n_runs = 0;
    return database_.Transact(Soon(), [&n_runs, until](pqxx::work& work) {
      if (++n_runs <= until) {
        work.exec("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$");
      }
      return absl::OkStatus();
    });
  };
  EXPECT_OK(conflict(2));
  EXPECT_EQ(n_runs, 3);
  EXPECT_THAT(conflict(3), StatusIs(StatusCode::kAborted));
}

// A commit that reaches the disk while its answer is lost: it waits for a standby that does not
// exist, and the connection is cut.
TEST_F(DatabaseTest, ACommitInDoubtIsReportedNotRepeated) {
  ASSERT_OK(Run("CREATE TABLE t (x int)"));
  TestPostgres& postgres = TestPostgres::Get();
  postgres.Psql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  postgres.Psql("SELECT pg_reload_conf()");
  // The server takes the setting up in a moment; until then commits succeed.
  int n_runs = 0;
  auto commit = std::async(std::launch::async, [&] {
    absl::Status status;
    while (status.ok()) {
      status = database_.Transact(Soon(), [&](pqxx::work& work) {
        ++n_runs;
        work.exec("INSERT INTO t VALUES (1)");
        return absl::OkStatus();
      });
    }
    return status;
  });
  while (postgres.Psql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                       "WHERE wait_event = 'SyncRep'")[0] == '0') {
  }
  EXPECT_THAT(commit.get(), StatusIs(StatusCode::kUnavailable, HasSubstr("same request id")));
  postgres.Psql("ALTER SYSTEM RESET synchronous_standby_names");
  postgres.Psql("SELECT pg_reload_conf()");
  EXPECT_EQ(Number("SELECT count(*) FROM t"), n_runs);
}

TEST_F(DatabaseTest, MigrationsApplyOnceInOrder) {
  const std::vector<Migration> first = {{1, "0001_a.sql", "CREATE TABLE a (x int)"}};
  std::vector<Migration> both = first;
  both.push_back({2, "0002_b.sql", "ALTER TABLE a ADD COLUMN y int"});
  EXPECT_OK(ApplyMigrations(&database_, first, Soon()));
  // Two replicas at once.
  auto other = std::async(std::launch::async, [&] {
    Database database(SmallPool(1));
    return ApplyMigrations(&database, both, Soon());
  });
  EXPECT_OK(ApplyMigrations(&database_, both, Soon()));
  EXPECT_OK(other.get());
  EXPECT_EQ(Number("SELECT count(*) FROM schema_migrations"), 2);
  EXPECT_THAT(ApplyMigrations(&database_, first, Soon()),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("too old")));
  both[0].sql += " ";
  EXPECT_THAT(ApplyMigrations(&database_, both, Soon()),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("0001_a.sql")));
}

TEST_F(DatabaseTest, AFailedMigrationLeavesNothing) {
  const std::vector<Migration> migrations = {{1, "0001_a.sql", "CREATE TABLE a (x int)"},
                                             {2, "0002_b.sql", "CREATE TABLE b (x nonsense)"}};
  EXPECT_THAT(ApplyMigrations(&database_, migrations, Soon()), StatusIs(StatusCode::kInternal));
  EXPECT_EQ(Number("SELECT count(*) FROM pg_tables WHERE tablename IN ('a', 'schema_migrations')"),
            0);
}

TEST_F(DatabaseTest, TheEmbeddedMigrationsAreNumberedWithoutGaps) {
  int number = 0;
  for (const Migration& migration : EmbeddedMigrations()) EXPECT_EQ(migration.number, ++number);
  EXPECT_GE(number, 1);
  EXPECT_OK(ApplyMigrations(&database_, EmbeddedMigrations(), Soon()));
}

}  // namespace
}  // namespace dki::memory_store
