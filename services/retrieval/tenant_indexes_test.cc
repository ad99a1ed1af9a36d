// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/tenant_indexes.h"

#include <future>
#include <random>

#include "libs/testing/status_matchers.h"
#include "services/retrieval/scan_vector_index.h"
#include "services/retrieval/test_feed.h"

namespace dki::retrieval {
namespace {

using ::dki::testing::StatusIs;
using memory::v1::FeedEntry;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Patience Long() {
  Patience patience;
  patience.until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  return patience;
}
Patience None() {
  Patience patience;
  patience.until = std::chrono::steady_clock::now();
  return patience;
}

class TenantIndexesTest : public ::testing::Test {
 protected:
  static TenantIndexes::Query About(const std::string& tenant_id, const std::string& text) {
    TenantIndexes::Query query;
    query.tenant_id = tenant_id;
    query.vector = FakeEmbedder::VectorOf(text);
    query.k = 1000;
    return query;
  }
  std::vector<std::string> Find(const TenantIndexes::Query& query) {
    const auto result = indexes_.Search(query, None());
    EXPECT_OK(result);
    std::vector<std::string> ids;
    if (result.ok()) {
      for (const RankedHit& hit : result->hits) ids.push_back(hit.memory_id);
    }
    return ids;
  }
  double Skipped(const std::string& reason) {
    return metrics_.GetCounter("dki_retrieval_vectors_skipped_total", "", {{"reason", reason}})
        ->value();
  }

  FakeClock clock_;
  telemetry::Metrics metrics_;
  TenantIndexes indexes_{[] { return std::make_unique<ScanVectorIndex>(FakeEmbedder::kDimension); },
                         kTestFingerprint, &clock_, &metrics_};
};

TEST_F(TenantIndexesTest, AppliesEntriesInOrder) {
  indexes_.SetCaughtUp();
  indexes_.Apply(UpsertEntry("t", 1, "a", "apple"));
  indexes_.Apply(UpsertEntry("t", 4, "b", "bread"));
  ASSERT_OK_AND_ASSIGN(const auto result, indexes_.Search(About("t", "apple"), None()));
  EXPECT_EQ(result.position, 4);
  ASSERT_EQ(result.hits.size(), 2u);
  EXPECT_EQ(result.hits[0].memory_id, "a");
  EXPECT_NEAR(result.hits[0].cosine, 1, 1e-5);

  indexes_.Apply(DeleteEntry("t", 5, "a"));
  EXPECT_THAT(Find(About("t", "apple")), ElementsAre("b"));
  indexes_.Apply(Entry("t", 9, FeedEntry::KIND_CAUGHT_UP));
  EXPECT_EQ(indexes_.StatusOf("t").position, 9);
  EXPECT_EQ(indexes_.StatusOf("t").n_memories, 1);
  EXPECT_THAT(indexes_.Positions(), ElementsAre(std::pair<const std::string, int64_t>("t", 9)));
}

TEST_F(TenantIndexesTest, ErasingATenantLeavesTheOthers) {
  indexes_.SetCaughtUp();
  indexes_.Apply(UpsertEntry("t", 1, "a", "apple"));
  indexes_.Apply(UpsertEntry("u", 1, "b", "apple"));
  indexes_.Apply(Entry("t", 2, FeedEntry::KIND_ERASE_TENANT));
  EXPECT_THAT(Find(About("t", "apple")), IsEmpty());
  EXPECT_THAT(Find(About("u", "apple")), ElementsAre("b"));
  EXPECT_EQ(indexes_.StatusOf("t").position, 2);
}

TEST_F(TenantIndexesTest, VectorsOfAnotherModelAreCountedAndNeverCompared) {
  indexes_.SetCaughtUp();
  indexes_.Apply(UpsertEntry("t", 1, "a", "apple"));
  FeedEntry other = UpsertEntry("t", 2, "a", "apple");
  other.mutable_vector()->set_embedding_fingerprint("beef");
  indexes_.Apply(other);  // a's old vector is of an old text: it must go, too
  EXPECT_THAT(Find(About("t", "apple")), IsEmpty());
  EXPECT_EQ(indexes_.StatusOf("t").position, 2);
  EXPECT_EQ(Skipped("embedding_model"), 1);

  FeedEntry cut = UpsertEntry("t", 3, "a", "apple");
  cut.mutable_vector()->mutable_values()->resize(7);
  indexes_.Apply(cut);
  EXPECT_THAT(Find(About("t", "apple")), IsEmpty());
  EXPECT_EQ(Skipped("bad_vector"), 1);
}

TEST_F(TenantIndexesTest, ExpiryFollowsTheClock) {
  indexes_.SetCaughtUp();
  FeedEntry entry = UpsertEntry("t", 1, "a", "apple");
  entry.mutable_expire_time()->set_seconds(absl::ToUnixSeconds(clock_.Now()) + 10);
  indexes_.Apply(entry);
  EXPECT_THAT(Find(About("t", "apple")), ElementsAre("a"));
  clock_.Advance(absl::Seconds(10));
  EXPECT_THAT(Find(About("t", "apple")), IsEmpty());
}

TEST_F(TenantIndexesTest, SearchesWaitForTheBacklog) {
  EXPECT_THAT(indexes_.Search(About("t", "apple"), None()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("being built")));
  auto search = std::async(std::launch::async,
                           [this] { return indexes_.Search(About("t", "apple"), Long()); });
  indexes_.Apply(UpsertEntry("t", 1, "a", "apple"));
  indexes_.SetCaughtUp();
  const auto result = search.get();
  ASSERT_OK(result);
  EXPECT_EQ(result->hits.size(), 1u);
}

TEST_F(TenantIndexesTest, SearchesWaitForTheirMinPosition) {
  indexes_.SetCaughtUp();
  indexes_.Apply(UpsertEntry("t", 1, "a", "apple"));
  TenantIndexes::Query query = About("t", "apple");
  query.min_position = 3;
  EXPECT_THAT(indexes_.Search(query, None()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("position 1, min_position is 3")));
  auto search = std::async(std::launch::async, [&] { return indexes_.Search(query, Long()); });
  indexes_.Apply(UpsertEntry("other", 3, "x", "apple"));
  indexes_.Apply(UpsertEntry("t", 2, "b", "apple"));
  indexes_.Apply(DeleteEntry("t", 3, "a"));
  const auto result = search.get();
  ASSERT_OK(result);
  EXPECT_GE(result->position, 3);
  ASSERT_EQ(result->hits.size(), 1u);
  EXPECT_EQ(result->hits[0].memory_id, "b");
}

TEST_F(TenantIndexesTest, ACancelledSearchStopsWaiting) {
  indexes_.SetCaughtUp();
  TenantIndexes::Query query = About("t", "apple");
  query.min_position = 1;
  Patience patience = Long();
  patience.is_cancelled = [] { return true; };
  EXPECT_THAT(indexes_.Search(query, patience), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(TenantIndexesTest, ResetForgetsEverything) {
  indexes_.SetCaughtUp();
  indexes_.Apply(UpsertEntry("t", 5, "a", "apple"));
  indexes_.Reset();
  EXPECT_THAT(indexes_.Positions(), IsEmpty());
  EXPECT_THAT(indexes_.Search(About("t", "apple"), None()),
              StatusIs(absl::StatusCode::kUnavailable));
  indexes_.SetCaughtUp();
  EXPECT_THAT(Find(About("t", "apple")), IsEmpty());
}

// P8: over random tenants and scopes, a search finds exactly what the rule lets it see.
TEST_F(TenantIndexesTest, NobodySeesWhatIsNotTheirs) {
  struct Written {
    std::string tenant_id;
    Scope scope;
  };
  std::mt19937 random(11);
  const auto pick = [&random](const std::vector<std::string>& from) {
    return from[random() % from.size()];
  };
  const std::vector<std::string> tenants = {"acme", "acm", "zeta"};
  const std::vector<std::string> users = {"", "ann", "bob"};
  const std::vector<std::string> sessions = {"", "ann", "s1"};  // "ann" also names a user
  const std::vector<std::string> agents = {"", "bot", "bob"};
  std::map<std::string, Written> written;
  std::map<std::string, int64_t> positions;
  indexes_.SetCaughtUp();
  for (int i = 0; i < 300; ++i) {
    const std::string id = absl::StrFormat("m%03d", i);
    const Written w{pick(tenants), {pick(users), pick(sessions), pick(agents)}};
    FeedEntry entry = UpsertEntry(w.tenant_id, ++positions[w.tenant_id], id, "the same text");
    entry.mutable_scope()->set_user_id(w.scope.user_id);
    entry.mutable_scope()->set_session_id(w.scope.session_id);
    entry.mutable_scope()->set_agent_id(w.scope.agent_id);
    indexes_.Apply(entry);
    written[id] = w;
  }
  for (const std::string& tenant_id : tenants) {
    for (const std::string& user : users) {
      for (const std::string& session : sessions) {
        for (const std::string& agent : agents) {
          TenantIndexes::Query query = About(tenant_id, "the same text");
          query.scope = {user, session, agent};
          std::vector<std::string> visible;
          for (const auto& [id, w] : written) {
            if (w.tenant_id != tenant_id) continue;
            if (!w.scope.user_id.empty() && w.scope.user_id != user) continue;
            if (!w.scope.session_id.empty() && w.scope.session_id != session) continue;
            if (!w.scope.agent_id.empty() && w.scope.agent_id != agent) continue;
            visible.push_back(id);
          }
          EXPECT_EQ(Find(query), visible)
              << tenant_id << "/" << user << "/" << session << "/" << agent;
        }
      }
    }
  }
  EXPECT_THAT(Find(About("unknown", "the same text")), IsEmpty());
}

}  // namespace
}  // namespace dki::retrieval
