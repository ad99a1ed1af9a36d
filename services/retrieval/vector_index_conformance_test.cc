// SPDX-License-Identifier: Apache-2.0
// What every VectorIndex must do.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <ostream>
#include <random>
#include <tuple>

#include "libs/testing/status_matchers.h"
#include "services/retrieval/in_memory_vector_index.h"
#include "services/retrieval/scan_vector_index.h"

namespace dki::retrieval {
namespace {

using ::dki::testing::IsOk;
using ::dki::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kDimension = 12;
const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

struct Implementation {
  const char* name;
  std::function<std::unique_ptr<VectorIndex>()> make;
};
void PrintTo(const Implementation& implementation, std::ostream* out) {
  *out << implementation.name;
}

// Small enough that its searches go through partitions, all of whose rows they look at; and every
// change is followed by a step of upkeep, so that trainings and moves lie between all changes.
class PartitionedIndex : public ScanVectorIndex {
 public:
  PartitionedIndex() : ScanVectorIndex(kDimension, {.exact_up_to = 8, .probed_share = 1.0}) {}
  absl::Status Upsert(IndexedMemory memory, std::span<const float> vector) override {
    DKI_RETURN_IF_ERROR(ScanVectorIndex::Upsert(std::move(memory), vector));
    Finish();
    return absl::OkStatus();
  }
  bool Remove(const std::string& memory_id) override {
    const bool removed = ScanVectorIndex::Remove(memory_id);
    Finish();
    return removed;
  }

 private:
  // What one step found to do is finished after the next change only.
  void Finish() {
    if (finish_) finish_();
    const Upkeep upkeep = NextUpkeep();
    finish_ = upkeep ? upkeep() : nullptr;
  }
  std::function<void()> finish_;
};

template <kernels::Isa isa>
std::unique_ptr<VectorIndex> MakeScan() {
  return std::make_unique<ScanVectorIndex>(kDimension, ScanVectorIndex::Options{.isa = isa});
}

class VectorIndexTest : public ::testing::TestWithParam<Implementation> {
 protected:
  std::vector<std::string> Find(const std::vector<float>& query, int k, const SearchFilter& filter,
                                std::optional<float> threshold = std::nullopt) {
    const auto hits = index_->Search(query, k, threshold, filter);
    EXPECT_THAT(hits, IsOk());
    std::vector<std::string> ids;
    for (const Hit& hit : hits.value_or(std::vector<Hit>())) ids.push_back(hit.memory_id);
    return ids;
  }

  std::unique_ptr<VectorIndex> index_ = GetParam().make();
};

// The unit vector along an axis, or against it.
std::vector<float> Axis(int axis, float sign = 1) {
  std::vector<float> vector(kDimension, 0.0f);
  vector[static_cast<size_t>(axis)] = sign;
  return vector;
}

// The unit vector with the given cosine to Axis(0).
std::vector<float> AtCosine(float cosine) {
  std::vector<float> vector(kDimension, 0.0f);
  vector[0] = cosine;
  vector[1] = std::sqrt(1 - cosine * cosine);
  return vector;
}

IndexedMemory Named(const std::string& id) {
  IndexedMemory memory;
  memory.id = id;
  memory.version = 1;
  return memory;
}

SearchFilter Everybody() {
  SearchFilter filter;
  filter.now = kNow;
  return filter;
}

TEST_P(VectorIndexTest, BestFirstWithCosineAndVersion) {
  IndexedMemory far = Named("far");
  far.version = 7;
  ASSERT_OK(index_->Upsert(far, AtCosine(0.5f)));
  ASSERT_OK(index_->Upsert(Named("near"), AtCosine(0.75f)));
  ASSERT_OK(index_->Upsert(Named("against"), Axis(0, -1)));
  ASSERT_OK_AND_ASSIGN(const auto hits, index_->Search(Axis(0), 2, std::nullopt, Everybody()));
  EXPECT_THAT(hits, ElementsAre(Hit{"near", 1, 0.75f, false}, Hit{"far", 7, 0.5f, false}));
  EXPECT_EQ(index_->size(), 3);
}

TEST_P(VectorIndexTest, EmptyFindsNothing) {
  EXPECT_THAT(Find(Axis(0), 5, Everybody()), IsEmpty());
  EXPECT_FALSE(index_->Remove("a"));
}

TEST_P(VectorIndexTest, UpsertReplacesVectorAndAttributes) {
  ASSERT_OK(index_->Upsert(Named("a"), Axis(0)));
  IndexedMemory changed = Named("a");
  changed.version = 2;
  changed.scope.user_id = "u";
  ASSERT_OK(index_->Upsert(changed, Axis(1)));
  EXPECT_EQ(index_->size(), 1);
  EXPECT_THAT(Find(Axis(1), 5, Everybody()), IsEmpty());
  SearchFilter u = Everybody();
  u.scope.user_id = "u";
  ASSERT_OK_AND_ASSIGN(const auto hits, index_->Search(Axis(1), 5, std::nullopt, u));
  EXPECT_THAT(hits, ElementsAre(Hit{"a", 2, 1.0f, false}));
}

TEST_P(VectorIndexTest, RemovedMemoriesAreGoneAndTheOthersStay) {
  for (int i = 0; i < 4; ++i) ASSERT_OK(index_->Upsert(Named(std::to_string(i)), Axis(i)));
  EXPECT_TRUE(index_->Remove("1"));
  EXPECT_FALSE(index_->Remove("1"));
  EXPECT_TRUE(index_->Remove("3"));
  EXPECT_EQ(index_->size(), 2);
  EXPECT_THAT(Find(Axis(1), 9, Everybody(), 0.5f), IsEmpty());
  EXPECT_THAT(Find(Axis(0), 9, Everybody(), 0.5f), ElementsAre("0"));
  EXPECT_THAT(Find(Axis(2), 9, Everybody(), 0.5f), ElementsAre("2"));
  index_->Clear();
  EXPECT_EQ(index_->size(), 0);
  EXPECT_THAT(Find(Axis(0), 9, Everybody()), IsEmpty());
  ASSERT_OK(index_->Upsert(Named("1"), Axis(1)));
  EXPECT_THAT(Find(Axis(1), 9, Everybody()), ElementsAre("1"));
}

TEST_P(VectorIndexTest, BadVectorsChangeNothing) {
  ASSERT_OK(index_->Upsert(Named("a"), Axis(0)));
  std::vector<float> nan = Axis(0);
  nan[3] = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> infinite = Axis(0);
  infinite[3] = std::numeric_limits<float>::infinity();
  for (const std::vector<float>& bad :
       {std::vector<float>(), std::vector<float>(kDimension - 1, 0.3f),
        std::vector<float>(kDimension, 0.0f), Axis(0, 1.1f), nan, infinite}) {
    EXPECT_THAT(index_->Upsert(Named("a"), bad),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("vector")));
    EXPECT_THAT(index_->Upsert(Named("b"), bad), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(index_->Search(bad, 1, std::nullopt, Everybody()),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(Find(Axis(0), 9, Everybody(), 0.9f), ElementsAre("a"));
  EXPECT_EQ(index_->size(), 1);
}

TEST_P(VectorIndexTest, FiltersByScopeTagIdsAndExpiry) {
  IndexedMemory shared = Named("shared");
  IndexedMemory user = Named("user");
  user.scope.user_id = "u";
  IndexedMemory session = Named("user_session");
  session.scope = {"u", "s", ""};
  IndexedMemory agent = Named("agent");
  agent.scope.agent_id = "a";
  agent.tags = {"x", "y"};
  IndexedMemory expiring = Named("expiring");
  expiring.expire_time = kNow + absl::Seconds(1);
  for (const IndexedMemory& memory : {shared, user, session, agent, expiring}) {
    ASSERT_OK(index_->Upsert(memory, Axis(0)));
  }
  SearchFilter filter = Everybody();
  EXPECT_THAT(Find(Axis(0), 9, filter), ElementsAre("expiring", "shared"));
  filter.now = kNow + absl::Seconds(1);
  EXPECT_THAT(Find(Axis(0), 9, filter), ElementsAre("shared"));
  filter.scope.user_id = "u";
  EXPECT_THAT(Find(Axis(0), 9, filter), ElementsAre("shared", "user"));
  filter.scope.session_id = "s";
  EXPECT_THAT(Find(Axis(0), 9, filter), ElementsAre("shared", "user", "user_session"));
  filter.scope.user_id = "";
  EXPECT_THAT(Find(Axis(0), 9, filter), ElementsAre("shared"));
  filter.scope.agent_id = "a";
  EXPECT_THAT(Find(Axis(0), 9, filter), ElementsAre("agent", "shared"));
  filter.tag = "y";
  EXPECT_THAT(Find(Axis(0), 9, filter), ElementsAre("agent"));
  filter.tag = "";
  filter.ids = {"shared", "user", "nobody"};
  EXPECT_THAT(Find(Axis(0), 9, filter), ElementsAre("shared"));
}

TEST_P(VectorIndexTest, ThresholdIsInclusiveAndZeroMeansZero) {
  ASSERT_OK(index_->Upsert(Named("zero"), Axis(1)));
  ASSERT_OK(index_->Upsert(Named("half"), AtCosine(0.5f)));
  ASSERT_OK(index_->Upsert(Named("less"), AtCosine(-0.25f)));
  EXPECT_THAT(Find(Axis(0), 9, Everybody()), ElementsAre("half", "zero", "less"));
  EXPECT_THAT(Find(Axis(0), 9, Everybody(), 0.0f), ElementsAre("half", "zero"));
  EXPECT_THAT(Find(Axis(0), 9, Everybody(), 0.5f), ElementsAre("half"));
  EXPECT_THAT(Find(Axis(0), 9, Everybody(), 0.6f), IsEmpty());
  EXPECT_THAT(Find(Axis(0), 9, Everybody(), -1.0f), ElementsAre("half", "zero", "less"));
}

TEST_P(VectorIndexTest, PinnedMemoriesWinTiesAlsoAtTheBorder) {
  ASSERT_OK(index_->Upsert(Named("best"), Axis(0)));
  for (int i = 0; i < 300; ++i) {
    IndexedMemory memory = Named(absl::StrFormat("m%03d", i));
    memory.pinned = i == 200 || i == 299;
    ASSERT_OK(index_->Upsert(memory, AtCosine(0.5f)));
  }
  EXPECT_THAT(Find(Axis(0), 2, Everybody()), ElementsAre("best", "m200"));
  EXPECT_THAT(Find(Axis(0), 5, Everybody()), ElementsAre("best", "m200", "m299", "m000", "m001"));
}

// Against a search that is written down here. Vectors of four halves make every cosine exact (a
// multiple of 1/4), and ties frequent.
TEST_P(VectorIndexTest, EqualsALinearSearchAfterRandomChanges) {
  std::mt19937 random(7);
  const auto below = [&random](int n) {
    return static_cast<int>(random() % static_cast<unsigned>(n));
  };
  const auto random_vector = [&] {
    std::vector<float> vector(kDimension, 0.0f);
    for (int n = 0; n < 4;) {
      float& value = vector[static_cast<size_t>(below(kDimension))];
      if (value != 0) continue;
      value = below(2) == 0 ? 0.5f : -0.5f;
      ++n;
    }
    return vector;
  };
  const auto random_name = [&](const char* prefix) {
    const int i = below(3);
    return i == 0 ? std::string() : prefix + std::to_string(i);
  };
  std::map<std::string, std::pair<IndexedMemory, std::vector<float>>> model;

  for (int step = 0; step < 3000; ++step) {
    const std::string id = "m" + std::to_string(below(400));
    if (below(3) == 0) {
      EXPECT_EQ(index_->Remove(id), model.erase(id) > 0);
    } else {
      IndexedMemory memory = Named(id);
      memory.version = step;
      memory.scope = {random_name("u"), random_name("s"), random_name("a")};
      if (below(2) == 0) memory.tags = {"t" + std::to_string(below(3))};
      if (below(4) == 0) memory.expire_time = kNow + absl::Seconds(below(3) - 1);
      memory.pinned = below(10) == 0;
      const std::vector<float> vector = random_vector();
      ASSERT_OK(index_->Upsert(memory, vector));
      model[id] = {memory, vector};
    }
    ASSERT_EQ(index_->size(), static_cast<int64_t>(model.size()));
    if (step % 5 != 0) continue;

    SearchFilter filter = Everybody();
    filter.scope = {random_name("u"), random_name("s"), random_name("a")};
    if (below(4) == 0) filter.tag = "t0";
    if (below(4) == 0) {
      for (int i = 0; i < 50; ++i) filter.ids.insert("m" + std::to_string(below(400)));
    }
    const std::vector<float> query = random_vector();
    const int k = 1 + below(below(10) == 0 ? 300 : 10);
    std::optional<float> threshold;
    if (below(2) == 0) threshold = static_cast<float>(below(5) - 2) * 0.25f;

    std::vector<Hit> expected;
    for (const auto& [name, entry] : model) {
      const IndexedMemory& memory = entry.first;
      const auto sees = [](const std::string& want, const std::string& have) {
        return want.empty() || want == have;
      };
      const bool visible = sees(memory.scope.user_id, filter.scope.user_id) &&
                           sees(memory.scope.session_id, filter.scope.session_id) &&
                           sees(memory.scope.agent_id, filter.scope.agent_id);
      const bool wanted = (filter.tag.empty() ||
                           std::count(memory.tags.begin(), memory.tags.end(), filter.tag) > 0) &&
                          (filter.ids.empty() || filter.ids.count(name) > 0);
      if (!visible || !wanted || memory.expire_time <= kNow) continue;
      float cosine = 0;
      for (size_t i = 0; i < kDimension; ++i) cosine += query[i] * entry.second[i];
      if (threshold.has_value() && cosine < *threshold) continue;
      expected.push_back({name, memory.version, cosine, memory.pinned});
    }
    std::sort(expected.begin(), expected.end(), [](const Hit& a, const Hit& b) {
      return std::tuple(-a.cosine, !a.pinned, a.memory_id) <
             std::tuple(-b.cosine, !b.pinned, b.memory_id);
    });
    if (expected.size() > static_cast<size_t>(k)) expected.resize(static_cast<size_t>(k));
    ASSERT_OK_AND_ASSIGN(const auto hits, index_->Search(query, k, threshold, filter));
    ASSERT_EQ(hits, expected) << "step " << step << ", k " << k;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, VectorIndexTest,
    ::testing::Values(
        Implementation{"InMemory",
                       [] { return std::make_unique<InMemoryVectorIndex>(kDimension); }},
        Implementation{"ScanOnTheReferencePath", MakeScan<kernels::Isa::kReference>},
        Implementation{"Scan", [] { return std::make_unique<ScanVectorIndex>(kDimension); }},
        Implementation{"Partitioned", [] { return std::make_unique<PartitionedIndex>(); }}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace dki::retrieval
