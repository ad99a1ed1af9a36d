// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/feed_follower.h"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <thread>

#include "libs/base/clock.h"
#include "libs/testing/status_matchers.h"
#include "services/memory_store/in_memory_store.h"
#include "services/memory_store/test_requests.h"

namespace dki::memory_store {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using testing::StatusIs;
using v1::FeedEntry;

// A source that is away for its first calls.
class FlakySource : public FeedSource {
 public:
  FlakySource(FeedSource* source, int n_failures) : source_(source), n_failures_(n_failures) {}
  absl::StatusOr<std::vector<FeedHead>> ReadHeads(const std::string& tenant_id) override {
    if (n_failures_-- > 0) return Unavailable("away");
    return source_->ReadHeads(tenant_id);
  }
  absl::StatusOr<FeedBatch> ReadFeed(const std::string& tenant_id, int64_t after, int limit,
                                     bool with_vectors) override {
    if (n_failures_-- > 0) return Unavailable("away");
    return source_->ReadFeed(tenant_id, after, limit, with_vectors);
  }

 private:
  FeedSource* const source_;
  int n_failures_;
};

// "a:1 upsert"; "a:1 caught up".
std::string Describe(const FeedEntry& entry) {
  const char* kind = entry.kind() == FeedEntry::KIND_UPSERT         ? "upsert"
                     : entry.kind() == FeedEntry::KIND_DELETE       ? "delete"
                     : entry.kind() == FeedEntry::KIND_ERASE_TENANT ? "erase"
                                                                    : "caught up";
  return absl::StrFormat("%s:%d %s", entry.tenant_id(), entry.position(), kind);
}

class FeedFollowerTest : public ::testing::Test {
 protected:
  std::string Create(const std::string& tenant_id, const std::string& text) {
    const auto created =
        store_.CreateMemories({.tenant_id = tenant_id, .admin = true},
                              CreateRequest(text, TextMemory(UserScope("ann"), text)));
    EXPECT_OK(created);
    return created->results(0).memory().id();
  }

  // Follows until `n` entries have come.
  std::vector<std::string> Follow(FeedSource* source, int n,
                                  std::map<std::string, int64_t> positions = {},
                                  const std::string& tenant_id = "") {
    std::vector<std::string> entries;
    FeedFollower::Reader reader;
    reader.tenant_id = tenant_id;
    reader.positions = std::move(positions);
    reader.is_cancelled = [] { return false; };
    reader.send = [&](const v1::FollowFeedResponse& response) {
      for (const FeedEntry& entry : response.entries()) entries.push_back(Describe(entry));
      on_send_();
      return static_cast<int>(entries.size()) < n;
    };
    FeedFollower follower(source, &signal_, options_);
    EXPECT_THAT(follower.Follow(std::move(reader)), StatusIs(StatusCode::kCancelled));
    return entries;
  }

  FakeClock clock_;
  FeedSignal signal_;
  InMemoryStore store_{&signal_, &clock_};
  FeedFollower::Options options_{.max_batch = 2, .poll_interval = std::chrono::milliseconds(1)};
  std::function<void()> on_send_ = [] {};
};

TEST_F(FeedFollowerTest, TheBacklogComesInBatchesThenCaughtUp) {
  for (const char* text : {"1", "2", "3"}) Create("a", text);
  Create("b", "4");
  EXPECT_THAT(Follow(&store_, 7),
              ElementsAre("a:1 upsert", "a:2 upsert", "b:1 upsert", "b:1 caught up", "a:3 upsert",
                          "a:3 caught up", ":0 caught up"));
}

TEST_F(FeedFollowerTest, AnEmptyStoreIsCaughtUpAtOnce) {
  EXPECT_THAT(Follow(&store_, 1), ElementsAre(":0 caught up"));
}

TEST_F(FeedFollowerTest, ItStartsWhereTheReaderStandsAndKeepsToTheTenant) {
  for (const char* text : {"1", "2", "3"}) Create("a", text);
  Create("b", "4");
  EXPECT_THAT(Follow(&store_, 3, {{"a", 2}}, "a"),
              ElementsAre("a:3 upsert", "a:3 caught up", ":0 caught up"));
}

TEST_F(FeedFollowerTest, ChangesWakeTheReader) {
  // Only the signal can end this wait within the test's time.
  options_.poll_interval = std::chrono::hours(1);
  const std::string id = Create("a", "1");
  int n_sent = 0;
  on_send_ = [&] {
    if (++n_sent == 2) {
      EXPECT_OK(store_.DeleteMemory({.tenant_id = "a"}, DeleteRequest("d", id)));
    }
  };
  EXPECT_THAT(Follow(&store_, 5), ElementsAre("a:1 upsert", "a:1 caught up", ":0 caught up",
                                              "a:2 delete", "a:2 caught up"));
}

TEST_F(FeedFollowerTest, ItRestsInAStormUntilSomebodyWaits) {
  // Only Wake can end this rest within the test's time.
  options_.poll_interval = std::chrono::hours(1);
  options_.rest_share = 1'000'000'000;
  options_.max_rest = std::chrono::hours(1);
  Create("a", "1");
  FeedFollower other(&store_, &signal_, options_);
  std::thread writer;
  int n_sent = 0;
  on_send_ = [&] {
    // Behind the second message it waits for a change, and rests when it has come.
    if (++n_sent != 2) return;
    writer = std::thread([&] {
      Create("a", "2");
      other.Wake();
    });
  };
  EXPECT_THAT(Follow(&store_, 5), ElementsAre("a:1 upsert", "a:1 caught up", ":0 caught up",
                                              "a:2 upsert", "a:2 caught up"));
  writer.join();
}

TEST_F(FeedFollowerTest, AnErasureReachesTheReader) {
  Create("a", "1");
  store_.EraseTenant("a");
  EXPECT_THAT(Follow(&store_, 3, {{"a", 1}}),
              ElementsAre("a:2 erase", "a:2 caught up", ":0 caught up"));
}

TEST_F(FeedFollowerTest, ItWaitsWhileTheDatabaseIsAway) {
  Create("a", "1");
  FlakySource flaky(&store_, 3);
  EXPECT_THAT(Follow(&flaky, 3), ElementsAre("a:1 upsert", "a:1 caught up", ":0 caught up"));
}

TEST_F(FeedFollowerTest, APositionOfAnotherDatabaseIsRefused) {
  Create("a", "1");
  FeedFollower follower(&store_, &signal_, options_);
  for (const char* tenant : {"a", "unknown"}) {
    FeedFollower::Reader reader;
    reader.positions[tenant] = 2;
    reader.is_cancelled = [] { return false; };
    reader.send = [](const v1::FollowFeedResponse&) { return true; };
    EXPECT_THAT(follower.Follow(std::move(reader)), StatusIs(StatusCode::kOutOfRange));
  }
}

TEST_F(FeedFollowerTest, StopAndCancellationEndIt) {
  options_.poll_interval = std::chrono::hours(1);
  FeedFollower follower(&store_, &signal_, options_);
  std::atomic<bool> cancelled = false;
  std::promise<void> caught_up;
  const auto start = [&](std::promise<void>* waiting) {
    return std::async(std::launch::async, [&, waiting] {
      FeedFollower::Reader reader;
      reader.is_cancelled = [&] { return cancelled.load(); };
      reader.send = [waiting](const v1::FollowFeedResponse&) {
        waiting->set_value();
        return true;
      };
      return follower.Follow(std::move(reader));
    });
  };
  auto first = start(&caught_up);
  caught_up.get_future().wait();
  cancelled = true;
  signal_.Notify();
  EXPECT_THAT(first.get(), StatusIs(StatusCode::kCancelled));

  cancelled = false;
  std::promise<void> caught_up_again;
  auto second = start(&caught_up_again);
  caught_up_again.get_future().wait();
  signal_.Stop();
  EXPECT_THAT(second.get(), StatusIs(StatusCode::kUnavailable));
}

}  // namespace
}  // namespace dki::memory_store
