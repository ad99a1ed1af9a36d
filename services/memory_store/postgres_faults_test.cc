// SPDX-License-Identifier: Apache-2.0
// What PostgreSQL and several threads can do to the repositories: concurrency, lost commits,
// crashes.
#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <map>
#include <set>
#include <thread>

#include "libs/base/clock.h"
#include "libs/testing/postgres.h"
#include "libs/testing/status_matchers.h"
#include "services/memory_store/feed_follower.h"
#include "services/memory_store/migrations.h"
#include "services/memory_store/postgres_feed_source.h"
#include "services/memory_store/postgres_memory_repository.h"
#include "services/memory_store/test_requests.h"

namespace dki::memory_store {
namespace {

using absl::StatusCode;
using testing::StatusIs;
using testing::TestPostgres;
using v1::FeedEntry;

class PostgresFaultsTest : public ::testing::Test {
 protected:
  PostgresFaultsTest() {
    EXPECT_OK(ApplyMigrations(&database_, EmbeddedMigrations(),
                              std::chrono::system_clock::now() + std::chrono::seconds(30)));
  }

  // Repeats a write until it is acknowledged, as a client does.
  v1::CreateMemoryResponse CreateWithRetries(const std::string& request_id,
                                             const std::string& text) {
    const auto request = CreateRequest(request_id, TextMemory(UserScope("ann"), text));
    while (true) {
      const auto response = memories_.CreateMemories(access_, request);
      if (response.ok()) return response->results(0);
      if (!absl::IsUnavailable(response.status())) ADD_FAILURE() << response.status();
    }
  }

  int64_t Number(const std::string& sql) {
    int64_t number = -1;
    EXPECT_OK(database_.Transact(Database::Deadline::max(), [&](pqxx::work& work) {
      number = work.exec(sql)[0][0].as<int64_t>();
      return absl::OkStatus();
    }));
    return number;
  }

  const Access access_{.tenant_id = "a", .admin = true};
  Database database_{{.connection_string = TestPostgres::Get().CreateDatabase(), .pool_size = 12}};
  FeedSignal signal_;
  PostgresMemoryRepository memories_{&database_, &signal_, RealClock()};
  PostgresFeedSource feed_{&database_};
};

// The invariant of the feed: what lies up to a position that a reader has seen never grows.
TEST_F(PostgresFaultsTest, NoChangeAppearsBehindAReader) {
  constexpr int kWriters = 8;
  constexpr int kWritesEach = 40;
  std::atomic<int> n_running = kWriters;
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < kWritesEach; ++i) {
        const std::string name = std::to_string(w) + "." + std::to_string(i);
        const auto created = memories_.CreateMemories(
            access_, CreateRequest(name, TextMemory(UserScope("ann"), name)));
        EXPECT_OK(created);
        if (i % 4 == 0) {
          const std::string& id = created->results(0).memory().id();
          EXPECT_OK(memories_.UpdateMemory(access_, TextUpdate("u" + name, id, name + " changed")));
        }
      }
      --n_running;
    });
  }
  std::set<int64_t> seen;
  int64_t position = 0;
  while (true) {
    const bool last = n_running == 0;
    const auto batch = feed_.ReadFeed("a", position, 7, false);
    ASSERT_OK(batch);
    for (const FeedEntry& entry : batch->entries) seen.insert(entry.position());
    position = batch->position;
    if (last && batch->entries.empty()) break;
  }
  for (std::thread& writer : writers) writer.join();
  std::set<int64_t> all;
  ASSERT_OK_AND_ASSIGN(const auto whole, feed_.ReadFeed("a", 0, 100'000, false));
  for (const FeedEntry& entry : whole.entries) all.insert(entry.position());
  EXPECT_EQ(all.size(), kWriters * kWritesEach * 5u / 4u);
  EXPECT_EQ(seen, all);
}

TEST_F(PostgresFaultsTest, TheSameRequestFromManyThreadsIsDoneOnce) {
  std::vector<std::future<std::string>> ids;
  for (int i = 0; i < 8; ++i) {
    ids.push_back(std::async(std::launch::async,
                             [&] { return CreateWithRetries("same", "tea").memory().id(); }));
  }
  std::set<std::string> distinct;
  for (auto& id : ids) distinct.insert(id.get());
  EXPECT_EQ(distinct.size(), 1u);
  EXPECT_EQ(Number("SELECT count(*) FROM feed"), 1);
}

// The commit reaches the disk, its answer does not reach us (see database_test.cc).
TEST_F(PostgresFaultsTest, ARetryAfterACommitInDoubtFindsTheFirstOnesResult) {
  TestPostgres& postgres = TestPostgres::Get();
  postgres.Psql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  postgres.Psql("SELECT pg_reload_conf()");
  int n_written = 0;
  auto in_doubt = std::async(std::launch::async, [&] {
    absl::Status status;
    while (status.ok()) {
      const std::string name = std::to_string(++n_written);
      const auto request = CreateRequest(name, TextMemory(UserScope("ann"), name));
      status = memories_.CreateMemories(access_, request).status();
    }
    return status;
  });
  while (postgres.Psql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                       "WHERE wait_event = 'SyncRep'")[0] == '0') {
  }
  EXPECT_THAT(in_doubt.get(), StatusIs(StatusCode::kUnavailable));
  postgres.Psql("ALTER SYSTEM RESET synchronous_standby_names");
  postgres.Psql("SELECT pg_reload_conf()");

  EXPECT_EQ(Number("SELECT count(*) FROM memories"), n_written);
  const std::string name = std::to_string(n_written);
  const auto response = CreateWithRetries(name, name);
  EXPECT_TRUE(response.created());
  EXPECT_EQ(response.position(), n_written);
  EXPECT_EQ(Number("SELECT count(*) FROM memories"), n_written);
  EXPECT_EQ(Number("SELECT count(*) FROM feed"), n_written);
}

TEST_F(PostgresFaultsTest, ACrashLosesAndDoublesNothing) {
  constexpr int kWriters = 3;
  constexpr int kCrashes = 3;
  std::atomic<bool> stop = false;
  std::atomic<int> n_acknowledged = 0;
  std::vector<std::map<std::string, std::string>> acknowledged(kWriters);  // text -> id
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; !stop; ++i) {
        const std::string text = std::to_string(w) + "." + std::to_string(i);
        acknowledged[w][text] = CreateWithRetries(text, text).memory().id();
        ++n_acknowledged;
      }
    });
  }
  // A follower that lives through it all.
  std::map<std::string, int> followed;  // memory id -> entries
  std::atomic<bool> reader_leaves = false;
  std::atomic<int64_t> reader_position = 0;
  FeedFollower follower(&feed_, &signal_, {.max_batch = 20});
  std::thread reader([&] {
    FeedFollower::Reader options;
    options.send = [&](const v1::FollowFeedResponse& response) {
      for (const FeedEntry& entry : response.entries()) {
        if (entry.kind() == FeedEntry::KIND_UPSERT) ++followed[entry.memory_id()];
        if (!entry.tenant_id().empty()) reader_position = entry.position();
      }
      return true;
    };
    options.is_cancelled = [&] { return reader_leaves.load(); };
    EXPECT_THAT(follower.Follow(std::move(options)), StatusIs(StatusCode::kCancelled));
  });
  for (int crash = 0; crash < kCrashes; ++crash) {
    const int before = n_acknowledged;
    while (n_acknowledged < before + 30) std::this_thread::yield();
    TestPostgres::Get().Kill();
    TestPostgres::Get().Start();
  }
  stop = true;
  for (std::thread& writer : writers) writer.join();
  const int64_t head = Number("SELECT position FROM feed_heads");
  while (reader_position < head) std::this_thread::yield();
  reader_leaves = true;
  reader.join();

  std::map<std::string, std::string> stored;
  EXPECT_OK(database_.Transact(Database::Deadline::max(), [&](pqxx::work& work) {
    stored.clear();
    for (const pqxx::row& row : work.exec("SELECT text, id FROM memories")) {
      stored[row[0].c_str()] = row[1].c_str();
    }
    return absl::OkStatus();
  }));
  std::map<std::string, std::string> expected;
  for (const auto& part : acknowledged) expected.insert(part.begin(), part.end());
  EXPECT_EQ(stored, expected);
  EXPECT_EQ(Number("SELECT count(*) FROM memories"), static_cast<int64_t>(expected.size()));
  EXPECT_EQ(Number("SELECT count(*) FROM feed"), static_cast<int64_t>(expected.size()));
  EXPECT_EQ(followed.size(), expected.size());
  for (const auto& [id, n_entries] : followed) EXPECT_EQ(n_entries, 1) << id;
}

}  // namespace
}  // namespace dki::memory_store
