// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/redis_kv_tier.h"

#include <gmock/gmock.h>

#include "libs/kvcache/test_blocks.h"
#include "libs/testing/redis.h"
#include "libs/testing/status_matchers.h"

namespace dki::kvcache {
namespace {

using testing::StatusIs;
using testing::TestRedis;

RedisKvTier::Options TestOptions() {
  return {.verify = [](std::string_view bytes, const BlockIdentity& identity) {
    return VerifyBlock(bytes, identity, kTestShape);
  }};
}

// A kv worker's view of a server.
struct Worker {
  explicit Worker(const TestRedis& server, std::chrono::milliseconds rest = {},
                  const Clock* clock = RealClock())
      : pool({.address = server.address(),
              .timeout = std::chrono::milliseconds(2000),
              .rest = rest}),
        tier(&pool, TestOptions(), clock) {}
  RedisPool pool;
  RedisKvTier tier;

  int64_t Keys() { return pool.Run({{"DBSIZE"}})->front().integer; }
};

StoredBlock Stored(const TestBlockSpec& spec) {
  const Block block = TestBlock(spec);
  return {block.identity, block.chain_memory_ids, Encoded(block), 0.25};
}

TEST(RedisKvTierTest, WorkersShareBlocksAndErasures) {
  TestRedis server;
  Worker a(server), b(server);
  const StoredBlock mine = Stored({.memory_id = "m2", .chain = {"m1", "m2"}});
  const StoredBlock other = Stored({.memory_id = "m3", .chain = {"m3"}, .variant = 1});
  a.tier.Put(mine);
  a.tier.Put(other);
  const auto hit = b.tier.Get(mine.identity);
  ASSERT_TRUE(hit);
  EXPECT_EQ(hit->tier, TierName::kRemote);
  EXPECT_EQ(*hit->block.bytes, *mine.bytes);
  EXPECT_EQ(hit->block.chain_memory_ids, mine.chain_memory_ids);
  EXPECT_EQ(hit->block.recompute_seconds, 0.25);
  ASSERT_OK(b.tier.Erase("tenant", "m1"));
  EXPECT_FALSE(a.tier.Get(mine.identity));
  EXPECT_TRUE(a.tier.Get(other.identity));
  ASSERT_OK(b.tier.Erase("tenant", ""));
  EXPECT_FALSE(a.tier.Get(other.identity));
}

TEST(RedisKvTierTest, TellsWhichBlocksItHasInOneCall) {
  TestRedis server;
  Worker a(server), b(server);
  const StoredBlock mine = Stored({.memory_id = "m2", .chain = {"m1", "m2"}});
  const StoredBlock none = Stored({.memory_id = "m3", .chain = {"m3"}, .variant = 1});
  const std::vector<BlockIdentity> identities = {none.identity, mine.identity};
  EXPECT_FALSE(b.tier.Locate(identities)[1]) << "not before the server has been checked";
  a.tier.Put(mine);
  EXPECT_FALSE(b.tier.Get(none.identity));
  const auto places = b.tier.Locate(identities);
  ASSERT_EQ(places.size(), 2);
  EXPECT_FALSE(places[0]);
  ASSERT_TRUE(places[1]);
  EXPECT_EQ(places[1]->tier, TierName::kRemote);
  EXPECT_GT(places[1]->bytes, static_cast<int64_t>(mine.bytes->size()));
  EXPECT_FALSE(b.tier.Find(mine.identity)) << "by tables in memory alone";
}

TEST(RedisKvTierTest, ErasingManyLeavesNothingOfThem) {
  TestRedis server;
  Worker worker(server);
  for (int i = 0; i < 1201; ++i) worker.tier.Put(Stored({.variant = i}));
  ASSERT_OK(worker.tier.Erase("tenant", "m1"));
  EXPECT_EQ(worker.Keys(), 0);
}

TEST(RedisKvTierTest, BlocksExpireAndTheirIndexIsTrimmed) {
  TestRedis server;
  FakeClock clock(absl::Now());
  Worker worker(server, {}, &clock);
  worker.tier.Put(Stored({}));
  const std::string block = worker.pool.Run({{"KEYS", "*:b:*"}})->front().elements.at(0).text;
  const int64_t ttl_ms = worker.pool.Run({{"PTTL", block}})->front().integer;
  EXPECT_GT(ttl_ms, 23 * 3600 * 1000);
  EXPECT_LE(ttl_ms, 24 * 3600 * 1000);
  clock.Advance(absl::Hours(25));
  worker.tier.Put(Stored({.variant = 1}));
  const std::string index = worker.pool.Run({{"KEYS", "*:m:m1"}})->front().elements.at(0).text;
  EXPECT_EQ(worker.pool.Run({{"ZCARD", index}})->front().integer, 1);
  EXPECT_EQ(worker.pool.Run({{"PTTL", index}})->front().integer, -1) << "an index never expires";
}

TEST(RedisKvTierTest, DamageIsFoundDroppedAndCounted) {
  TestRedis server;
  Worker worker(server);
  const StoredBlock block = Stored({});
  worker.tier.Put(block);
  const std::string key = worker.pool.Run({{"KEYS", "*:b:*"}})->front().elements.at(0).text;
  const std::string sound = worker.pool.Run({{"GET", key}})->front().text;
  int64_t n_damaged = 0;
  // The head, the block's header, its planes.
  for (const size_t at : {size_t{3}, size_t{18}, size_t{25}, size_t{60}, sound.size() - 1}) {
    std::string damaged = sound;
    damaged[at] ^= 4;
    ASSERT_OK(worker.pool.Run({{"SET", key, damaged}}));
    EXPECT_FALSE(worker.tier.Get(block.identity)) << at;
    EXPECT_EQ(worker.tier.Stats().corrupt, ++n_damaged) << at;
    EXPECT_TRUE(worker.pool.Run({{"GET", key}})->front().is_nil) << at;
  }
}

TEST(RedisKvTierTest, AServerThatIsAwayIsAskedOnceAndThenLeftAlone) {
  TestRedis server;
  Worker worker(server, std::chrono::hours(1));
  const StoredBlock block = Stored({});
  worker.tier.Put(block);
  server.Stop();
  EXPECT_FALSE(worker.tier.Get(block.identity));
  EXPECT_FALSE(worker.pool.IsUp());
  server.Start();
  // It is back, but nobody asks.
  worker.tier.Put(block);
  EXPECT_FALSE(worker.tier.Get(block.identity));
  EXPECT_THAT(worker.tier.Erase("tenant", "m1"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(worker.tier.Stats().failures, 4);
  EXPECT_EQ(Worker(server).Keys(), 0);
}

TEST(RedisKvTierTest, ItComesBackAfterTheRest) {
  TestRedis server;
  Worker worker(server);  // no rest
  const StoredBlock block = Stored({});
  server.Stop();
  worker.tier.Put(block);
  EXPECT_FALSE(worker.tier.Get(block.identity));
  server.Start();
  worker.tier.Put(block);
  EXPECT_TRUE(worker.tier.Get(block.identity));
  EXPECT_TRUE(worker.pool.IsUp());
}

TEST(RedisKvTierTest, ARestartOfTheServerBetweenTwoCallsGoesUnnoticed) {
  TestRedis server;
  Worker worker(server, std::chrono::hours(1));
  worker.tier.Put(Stored({}));
  server.Stop();
  server.Start();
  worker.tier.Put(Stored({}));
  EXPECT_TRUE(worker.tier.Get(Stored({}).identity));
  EXPECT_EQ(worker.tier.Stats().failures, 0);
}

TEST(RedisKvTierTest, AServerThatHangsCostsOneTimeout) {
  TestRedis server;
  RedisPool pool({.address = server.address(),
                  .timeout = std::chrono::milliseconds(50),
                  .rest = std::chrono::hours(1)});
  RedisKvTier tier(&pool, TestOptions());
  server.Pause();
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(tier.Get(Stored({}).identity));
  EXPECT_EQ(tier.Stats().failures, 1000);
  server.Resume();
}

TEST(RedisKvTierTest, AFullServerKeepsNothingAndServesOn) {
  TestRedis server({"--maxmemory", "3mb", "--maxmemory-policy", "noeviction"});
  Worker worker(server, std::chrono::hours(1));
  int n_kept = 0;
  while (worker.tier.Stats().failures == 0) {
    ASSERT_LT(n_kept, 20000);
    worker.tier.Put(Stored({.n_tokens = 100, .variant = n_kept++}));
  }
  EXPECT_TRUE(worker.pool.IsUp()) << "full is not away";
  EXPECT_TRUE(worker.tier.Get(Stored({.n_tokens = 100, .variant = 0}).identity));
  ASSERT_OK(worker.tier.Erase("tenant", ""));
  worker.tier.Put(Stored({}));
  EXPECT_TRUE(worker.tier.Get(Stored({}).identity));
}

TEST(RedisKvTierTest, AServerThatWouldBringErasedBlocksBackIsRefused) {
  TestRedis evicting({"--maxmemory-policy", "allkeys-lru"});
  TestRedis saving({"--save", "60 1"});
  TestRedis appending({"--appendonly", "yes"});
  for (const TestRedis* server : {&evicting, &saving, &appending}) {
    Worker worker(*server);
    EXPECT_THAT(worker.tier.CheckServer(), StatusIs(absl::StatusCode::kFailedPrecondition));
    worker.tier.Put(Stored({}));
    EXPECT_EQ(worker.Keys(), 0);
    EXPECT_EQ(worker.tier.Stats().failures, 1);
  }
  TestRedis fine({"--maxmemory-policy", "volatile-lru"});
  EXPECT_OK(Worker(fine).tier.CheckServer());
}

TEST(RedisPoolTest, AskForAPasswordWhereOneIsNeeded) {
  TestRedis server({"--requirepass", "secret"});
  RedisPool without({.address = server.address()});
  EXPECT_THAT(without.Run({{"PING"}}).status(), StatusIs(absl::StatusCode::kUnavailable));
  RedisPool with({.address = server.address(), .password = "secret"});
  EXPECT_OK(with.Run({{"PING"}}));
}

}  // namespace
}  // namespace dki::kvcache
