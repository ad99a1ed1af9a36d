// SPDX-License-Identifier: Apache-2.0
// What every implementation of MemoryRepository, ConversationRepository and FeedSource does: run
// for PostgreSQL and for the fake.
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>

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
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StatusIs;
using v1::FeedEntry;

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
  PostgresBackend() {
    const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(30);
    EXPECT_OK(ApplyMigrations(&database_, EmbeddedMigrations(), deadline));
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
  Database database_{{.connection_string = testing::TestPostgres::Get().CreateDatabase()}};
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

  std::vector<FeedEntry> Feed(const std::string& tenant_id, int64_t after = 0) {
    const auto batch = backend_->feed().ReadFeed(tenant_id, after, 1000, true);
    EXPECT_OK(batch);
    return batch->entries;
  }

  std::vector<FeedEntry::Kind> FeedKinds(const std::string& tenant_id) {
    std::vector<FeedEntry::Kind> kinds;
    for (const FeedEntry& entry : Feed(tenant_id)) kinds.push_back(entry.kind());
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

INSTANTIATE_TEST_SUITE_P(All, RepositoryTest, ::testing::Values("Fake", "Postgres"),
                         [](const auto& info) { return info.param; });

TEST_P(RepositoryTest, AMemoryComesBackAsItWasWritten) {
  v1::NewMemory written = TextMemory(UserScope("ann", "s1"), "Ann's \"cat\" \\ is {Mia}, 喵 'x'");
  written.add_tags("pet, \"cat\"");
  written.add_tags("back\\slash");
  written.add_tags("NULL");
  written.set_metadata_json(R"({"n": 1.5, "list": ["ü", null], "nested": {"x": true}})");
  written.set_pinned(true);
  written.set_priority(-7);
  written.set_source_class(common::v1::SOURCE_CLASS_TOOL);
  *written.mutable_expire_time() =
      FromMicros(absl::ToUnixMicros(backend_->clock.Now() + absl::Hours(1)));
  const v1::Memory memory = MustCreate(a_, written);

  v1::BatchGetMemoriesRequest get;
  get.add_ids(memory.id());
  ASSERT_OK_AND_ASSIGN(const auto response, memories().GetMemories(a_, get));
  ASSERT_EQ(response.memories_size(), 1);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(response.memories(0), memory));
  EXPECT_EQ(memory.id().rfind("mem_", 0), 0u);
  EXPECT_EQ(memory.id().size(), 36u);
  EXPECT_EQ(memory.scope().session_id(), "s1");
  EXPECT_EQ(memory.text(), written.text());
  EXPECT_THAT(memory.tags(), ElementsAre("pet, \"cat\"", "back\\slash", "NULL"));
  EXPECT_EQ(memory.metadata().fields().at("list").list_value().values(0).string_value(), "ü");
  EXPECT_EQ(memory.source_class(), common::v1::SOURCE_CLASS_TOOL);
  EXPECT_TRUE(memory.pinned());
  EXPECT_EQ(memory.priority(), -7);
  EXPECT_EQ(memory.version(), 1);
  EXPECT_EQ(ToMicros(memory.create_time()), absl::ToUnixMicros(backend_->clock.Now()));
  EXPECT_EQ(ToMicros(memory.expire_time()), ToMicros(written.expire_time()));
  EXPECT_EQ(memory.content_hash().size(), 64u);
  EXPECT_EQ(memory.create_position(), 1);
}

TEST_P(RepositoryTest, ARepeatedRequestHasTheFirstResultAndWritesNothing) {
  const auto request = CreateRequest("r1", TextMemory(UserScope("ann"), "tea"));
  ASSERT_OK_AND_ASSIGN(const auto first, memories().CreateMemories(a_, request));
  ASSERT_OK_AND_ASSIGN(const auto second, memories().CreateMemories(a_, request));
  EXPECT_TRUE(first.results(0).created());
  EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString());
  EXPECT_EQ(Head("a"), 1);

  // A vector made on another machine may differ in its last bits.
  auto other_vector = request;
  *other_vector.mutable_memories(0)->mutable_vector() = UnitVector(2);
  EXPECT_OK(memories().CreateMemories(a_, other_vector));
  // Another tenant's ids are its own.
  ASSERT_OK_AND_ASSIGN(const auto other_tenant, memories().CreateMemories(b_, request));
  EXPECT_NE(other_tenant.results(0).memory().id(), first.results(0).memory().id());
}

TEST_P(RepositoryTest, ARequestIdCannotStandForAnotherRequest) {
  EXPECT_OK(
      memories().CreateMemories(a_, CreateRequest("r1", TextMemory(UserScope("ann"), "tea"))));
  EXPECT_THAT(
      memories().CreateMemories(a_, CreateRequest("r1", TextMemory(UserScope("ann"), "milk"))),
      StatusIs(StatusCode::kInvalidArgument, HasSubstr("request_id")));
  EXPECT_THAT(memories().DeleteMemory(a_, DeleteRequest("r1", "mem_x")),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("request_id")));
}

TEST_P(RepositoryTest, RequestsAreForgottenAfterTheirRetention) {
  EXPECT_OK(
      memories().CreateMemories(a_, CreateRequest("r1", TextMemory(UserScope("ann"), "tea"))));
  backend_->clock.Advance(kRequestRetention + absl::Seconds(1));
  EXPECT_OK(memories().Sweep());
  EXPECT_OK(
      memories().CreateMemories(a_, CreateRequest("r1", TextMemory(UserScope("ann"), "milk"))));
}

TEST_P(RepositoryTest, TheSameTextInTheSameScopeIsStoredOnce) {
  const v1::Memory first = MustCreate(a_, TextMemory(UserScope("ann"), "tea"));
  v1::BatchCreateMemoriesRequest batch;
  batch.set_request_id("r");
  *batch.add_memories() = TextMemory(UserScope("ann"), "tea");
  *batch.add_memories() = TextMemory(UserScope("bob"), "tea");
  *batch.add_memories() = TextMemory(UserScope("bob"), "tea");
  ASSERT_OK_AND_ASSIGN(const auto response, memories().CreateMemories(a_, batch));
  EXPECT_FALSE(response.results(0).created());
  EXPECT_EQ(response.results(0).memory().id(), first.id());
  EXPECT_EQ(response.results(0).position(), first.feed_position());
  EXPECT_TRUE(response.results(1).created());
  EXPECT_FALSE(response.results(2).created());
  EXPECT_EQ(response.results(2).memory().id(), response.results(1).memory().id());
  EXPECT_EQ(Head("a"), 2);
}

TEST_P(RepositoryTest, ABatchIsStoredWholeOrNotAtAll) {
  v1::BatchCreateMemoriesRequest batch;
  batch.set_request_id("r");
  *batch.add_memories() = TextMemory(UserScope("ann"), "tea");
  *batch.add_memories() = TextMemory(common::v1::Scope(), "for all");
  EXPECT_THAT(memories().CreateMemories(a_member_, batch), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(VisibleTexts(a_, std::nullopt), IsEmpty());
  EXPECT_EQ(Head("a"), 0);
  // The request id was not used up.
  EXPECT_OK(memories().CreateMemories(a_, batch));
  EXPECT_THAT(VisibleTexts(a_, std::nullopt), ElementsAre("tea", "for all"));
}

TEST_P(RepositoryTest, EachScopeFieldThatIsSetMustEqualTheViewers) {
  common::v1::Scope agent;
  agent.set_agent_id("x");
  MustCreate(a_, TextMemory(common::v1::Scope(), "shared"));
  MustCreate(a_, TextMemory(UserScope("ann"), "ann"));
  MustCreate(a_, TextMemory(UserScope("ann", "s1"), "ann s1"));
  MustCreate(a_, TextMemory(UserScope("bob"), "bob"));
  MustCreate(a_, TextMemory(agent, "agent"));
  EXPECT_THAT(VisibleTexts(a_, UserScope("ann")), ElementsAre("shared", "ann"));
  EXPECT_THAT(VisibleTexts(a_, UserScope("ann", "s1")), ElementsAre("shared", "ann", "ann s1"));
  EXPECT_THAT(VisibleTexts(a_, UserScope("ann", "s2")), ElementsAre("shared", "ann"));
  EXPECT_THAT(VisibleTexts(a_, agent), ElementsAre("shared", "agent"));
  EXPECT_THAT(VisibleTexts(a_, common::v1::Scope()), ElementsAre("shared"));
  EXPECT_THAT(VisibleTexts(a_, std::nullopt),
              ElementsAre("shared", "ann", "ann s1", "bob", "agent"));
  EXPECT_THAT(VisibleTexts(b_, std::nullopt), IsEmpty());
}

TEST_P(RepositoryTest, NothingCanBeDoneToAMemoryThatIsNotVisible) {
  const v1::Memory memory = MustCreate(a_, TextMemory(UserScope("ann"), "tea"));
  const auto bob = UserScope("bob");
  auto update = TextUpdate("u", memory.id(), "milk");
  *update.mutable_viewer() = bob;
  EXPECT_THAT(memories().UpdateMemory(a_, update), StatusIs(StatusCode::kNotFound));
  auto remove = DeleteRequest("d", memory.id());
  *remove.mutable_viewer() = bob;
  EXPECT_THAT(memories().DeleteMemory(a_, remove), StatusIs(StatusCode::kNotFound));
  v1::ListMemoryVersionsRequest versions;
  versions.set_id(memory.id());
  *versions.mutable_viewer() = bob;
  EXPECT_THAT(memories().ListMemoryVersions(a_, versions), StatusIs(StatusCode::kNotFound));
  v1::BatchGetMemoriesRequest get;
  get.add_ids(memory.id());
  *get.mutable_viewer() = bob;
  ASSERT_OK_AND_ASSIGN(const auto found, memories().GetMemories(a_, get));
  EXPECT_EQ(found.memories_size(), 0);
  // Nor from another tenant, even as its administrator.
  EXPECT_THAT(memories().DeleteMemory(b_, DeleteRequest("d", memory.id())),
              StatusIs(StatusCode::kNotFound));
}

TEST_P(RepositoryTest, GetKeepsTheOrderAskedAndLeavesOutWhatIsNotThere) {
  const std::string tea = MustCreate(a_, TextMemory(UserScope("ann"), "tea")).id();
  const std::string milk = MustCreate(a_, TextMemory(UserScope("ann"), "milk")).id();
  v1::BatchGetMemoriesRequest get;
  for (const std::string& id : {milk, std::string("mem_none"), tea, milk}) get.add_ids(id);
  ASSERT_OK_AND_ASSIGN(const auto found, memories().GetMemories(a_, get));
  ASSERT_EQ(found.memories_size(), 3);
  EXPECT_EQ(found.memories(0).id(), milk);
  EXPECT_EQ(found.memories(1).id(), tea);
  EXPECT_EQ(found.memories(2).id(), milk);
}

TEST_P(RepositoryTest, PagesCoverTheListOnceOldestFirst) {
  for (int i = 0; i < 7; ++i) {
    v1::NewMemory memory = TextMemory(UserScope("ann"), "text " + std::to_string(i));
    if (i % 2 == 0) memory.add_tags("even");
    MustCreate(a_, memory);
  }
  v1::ListMemoriesRequest request;
  request.set_page_size(3);
  request.set_tag("even");
  std::vector<std::string> texts;
  int n_pages = 0;
  do {
    ASSERT_OK_AND_ASSIGN(const auto page, memories().ListMemories(a_, request));
    for (const v1::Memory& memory : page.memories()) texts.push_back(memory.text());
    request.set_page_token(page.next_page_token());
    ++n_pages;
  } while (!request.page_token().empty());
  EXPECT_THAT(texts, ElementsAre("text 0", "text 2", "text 4", "text 6"));
  EXPECT_EQ(n_pages, 2);
}

TEST_P(RepositoryTest, APageTokenBelongsToItsList) {
  for (int i = 0; i < 3; ++i) {
    MustCreate(a_, TextMemory(UserScope("ann"), "text " + std::to_string(i)));
  }
  v1::ListMemoriesRequest request;
  request.set_page_size(1);
  ASSERT_OK_AND_ASSIGN(const auto page, memories().ListMemories(a_, request));
  request.set_page_token(page.next_page_token());
  request.set_page_size(2);  // may change from page to page
  EXPECT_OK(memories().ListMemories(a_, request));

  const auto refused = StatusIs(StatusCode::kInvalidArgument, HasSubstr("page_token"));
  EXPECT_THAT(memories().ListMemories(b_, request), refused);
  auto other_viewer = request;
  *other_viewer.mutable_viewer() = UserScope("ann");
  EXPECT_THAT(memories().ListMemories(a_, other_viewer), refused);
  auto other_tag = request;
  other_tag.set_tag("x");
  EXPECT_THAT(memories().ListMemories(a_, other_tag), refused);
  auto forged = request;
  forged.mutable_page_token()->at(15) ^= 1;
  EXPECT_THAT(memories().ListMemories(a_, forged), refused);
  forged.set_page_token("x");
  EXPECT_THAT(memories().ListMemories(a_, forged), refused);
}

TEST_P(RepositoryTest, AnUpdateMakesAVersionAndKeepsTheOldOne) {
  v1::NewMemory written = TextMemory(UserScope("ann"), "tea");
  written.add_tags("drink");
  written.set_metadata_json(R"({"x": 1})");
  const v1::Memory memory = MustCreate(a_, written);
  backend_->clock.Advance(absl::Seconds(5));
  ASSERT_OK_AND_ASSIGN(const auto updated,
                       memories().UpdateMemory(a_, TextUpdate("u", memory.id(), "milk")));
  EXPECT_EQ(updated.memory().text(), "milk");
  EXPECT_EQ(updated.memory().version(), 2);
  EXPECT_NE(updated.memory().content_hash(), memory.content_hash());
  EXPECT_THAT(updated.memory().tags(), ElementsAre("drink"));
  EXPECT_EQ(updated.memory().metadata().fields().at("x").number_value(), 1);
  EXPECT_EQ(updated.memory().create_position(), memory.create_position());
  EXPECT_EQ(updated.position(), 2);
  EXPECT_EQ(updated.memory().feed_position(), 2);
  EXPECT_EQ(ToMicros(updated.memory().update_time()), absl::ToUnixMicros(backend_->clock.Now()));

  v1::ListMemoryVersionsRequest request;
  request.set_id(memory.id());
  ASSERT_OK_AND_ASSIGN(const auto history, memories().ListMemoryVersions(a_, request));
  ASSERT_EQ(history.versions_size(), 2);
  EXPECT_EQ(history.versions(0).text(), "tea");
  EXPECT_EQ(history.versions(0).version(), 1);
  EXPECT_EQ(ToMicros(history.versions(0).time()), ToMicros(memory.create_time()));
  EXPECT_EQ(history.versions(1).text(), "milk");
  EXPECT_EQ(history.versions(1).content_hash(), updated.memory().content_hash());
  // The old text is free again.
  EXPECT_NE(MustCreate(a_, TextMemory(UserScope("ann"), "tea")).id(), memory.id());
}

TEST_P(RepositoryTest, AnUpdateChangesOnlyWhatTheMaskNames) {
  v1::NewMemory written = TextMemory(UserScope("ann"), "tea");
  written.add_tags("drink");
  written.set_priority(3);
  const v1::Memory memory = MustCreate(a_, written);
  v1::UpdateMemoryRequest request;
  request.set_request_id("u");
  request.set_id(memory.id());
  request.mutable_update_mask()->add_paths("tags");
  request.mutable_update_mask()->add_paths("pinned");
  request.mutable_memory()->set_text("ignored");
  request.mutable_memory()->set_pinned(true);
  ASSERT_OK_AND_ASSIGN(const auto updated, memories().UpdateMemory(a_, request));
  EXPECT_EQ(updated.memory().text(), "tea");
  EXPECT_THAT(updated.memory().tags(), IsEmpty());
  EXPECT_TRUE(updated.memory().pinned());
  EXPECT_EQ(updated.memory().priority(), 3);
  // The vector of the text stays.
  EXPECT_EQ(Feed("a").back().vector().values(), UnitVector(0).values());
}

TEST_P(RepositoryTest, AnUpdateIsIdempotentAndConditional) {
  const v1::Memory memory = MustCreate(a_, TextMemory(UserScope("ann"), "tea"));
  auto update = TextUpdate("u", memory.id(), "milk");
  update.set_expected_version(1);
  ASSERT_OK_AND_ASSIGN(const auto first, memories().UpdateMemory(a_, update));
  ASSERT_OK_AND_ASSIGN(const auto second, memories().UpdateMemory(a_, update));
  EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString());
  update.set_request_id("u2");
  EXPECT_THAT(memories().UpdateMemory(a_, update), StatusIs(StatusCode::kAborted));
  EXPECT_EQ(Head("a"), 2);
}

TEST_P(RepositoryTest, AnUpdateCannotTakeAnotherMemorysText) {
  MustCreate(a_, TextMemory(UserScope("ann"), "tea"));
  const v1::Memory milk = MustCreate(a_, TextMemory(UserScope("ann"), "milk"));
  EXPECT_THAT(memories().UpdateMemory(a_, TextUpdate("u", milk.id(), "tea")),
              StatusIs(StatusCode::kAlreadyExists));
  EXPECT_OK(memories().UpdateMemory(a_, TextUpdate("u2", milk.id(), "milk")));
}

TEST_P(RepositoryTest, WhatTheWholeTenantSeesIsAnAdministratorsToChange) {
  const v1::Memory memory = MustCreate(a_, TextMemory(common::v1::Scope(), "for all"));
  const auto denied = StatusIs(StatusCode::kPermissionDenied);
  EXPECT_THAT(memories().UpdateMemory(a_member_, TextUpdate("u", memory.id(), "x")), denied);
  EXPECT_THAT(memories().DeleteMemory(a_member_, DeleteRequest("d", memory.id())), denied);
  EXPECT_OK(memories().DeleteMemory(a_, DeleteRequest("d", memory.id())));
}

TEST_P(RepositoryTest, ADeletedMemoryIsGoneAndTheFeedSaysSo) {
  const auto create = CreateRequest("c", TextMemory(UserScope("ann"), "tea"));
  ASSERT_OK_AND_ASSIGN(const auto created, memories().CreateMemories(a_, create));
  const std::string id = created.results(0).memory().id();
  EXPECT_OK(memories().UpdateMemory(a_, TextUpdate("u", id, "milk")));
  ASSERT_OK_AND_ASSIGN(const auto deleted, memories().DeleteMemory(a_, DeleteRequest("d", id)));
  EXPECT_EQ(deleted.position(), 3);
  ASSERT_OK_AND_ASSIGN(const auto again, memories().DeleteMemory(a_, DeleteRequest("d", id)));
  EXPECT_EQ(again.position(), 3);
  EXPECT_THAT(memories().DeleteMemory(a_, DeleteRequest("d2", id)),
              StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(memories().CreateMemories(a_, create), StatusIs(StatusCode::kNotFound));
  v1::ListMemoryVersionsRequest versions;
  versions.set_id(id);
  EXPECT_THAT(memories().ListMemoryVersions(a_, versions), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(VisibleTexts(a_, std::nullopt), IsEmpty());

  const auto entries = Feed("a");
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].kind(), FeedEntry::KIND_DELETE);
  EXPECT_EQ(entries[0].memory_id(), id);
  EXPECT_EQ(entries[0].position(), 3);
}

TEST_P(RepositoryTest, TheFeedCarriesTheMemoryAsItIsNow) {
  v1::NewMemory written = TextMemory(UserScope("ann", "s"), "tea");
  written.add_tags("drink");
  written.set_pinned(true);
  const v1::Memory memory = MustCreate(a_, written);
  EXPECT_OK(memories().UpdateMemory(a_, TextUpdate("u", memory.id(), "milk")));
  const auto entries = Feed("a");
  ASSERT_EQ(entries.size(), 2u);
  for (const FeedEntry& entry : entries) {
    EXPECT_EQ(entry.kind(), FeedEntry::KIND_UPSERT);
    EXPECT_EQ(entry.tenant_id(), "a");
    EXPECT_EQ(entry.memory_id(), memory.id());
    EXPECT_EQ(entry.version(), 2);
    EXPECT_EQ(entry.scope().session_id(), "s");
    EXPECT_EQ(entry.vector().values(), UnitVector(1).values());
    EXPECT_EQ(entry.vector().embedding_fingerprint(), "test-embedding");
    EXPECT_THAT(entry.tags(), ElementsAre("drink"));
    EXPECT_TRUE(entry.pinned());
  }
  EXPECT_EQ(entries[0].position(), 1);
  EXPECT_EQ(entries[1].position(), 2);
  ASSERT_OK_AND_ASSIGN(const auto bare, backend_->feed().ReadFeed("a", 1, 10, false));
  ASSERT_EQ(bare.entries.size(), 1u);
  EXPECT_FALSE(bare.entries[0].has_vector());
}

TEST_P(RepositoryTest, ABatchOfTheFeedPassesOverWhatItLeavesOut) {
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) {
    ids.push_back(MustCreate(a_, TextMemory(UserScope("ann"), std::to_string(i))).id());
  }
  for (int i = 0; i < 3; ++i)
    EXPECT_OK(memories().DeleteMemory(a_, DeleteRequest(NextId(), ids[i])));
  ASSERT_OK_AND_ASSIGN(const auto first, backend_->feed().ReadFeed("a", 0, 3, true));
  EXPECT_THAT(first.entries, IsEmpty());
  EXPECT_EQ(first.position, 3);
  EXPECT_TRUE(first.full);
  ASSERT_OK_AND_ASSIGN(const auto rest, backend_->feed().ReadFeed("a", 3, 5, true));
  EXPECT_EQ(rest.entries.size(), 4u);
  EXPECT_EQ(rest.position, 7);
  EXPECT_FALSE(rest.full);
  ASSERT_OK_AND_ASSIGN(const auto none, backend_->feed().ReadFeed("a", 7, 5, true));
  EXPECT_EQ(none.position, 7);
  EXPECT_FALSE(none.full);
}

TEST_P(RepositoryTest, EraseScopeDeletesWhatLiesWithin) {
  for (const char* session : {"", "s1", "s2"}) {
    MustCreate(a_, TextMemory(UserScope("ann", session), std::string("ann ") + session));
    MustCreate(a_, TextMemory(UserScope("bob", session), std::string("bob ") + session));
  }
  MustCreate(a_, TextMemory(common::v1::Scope(), "shared"));
  v1::CreateConversationRequest conversation;
  conversation.set_request_id("c");
  *conversation.mutable_scope() = UserScope("ann", "s1");
  ASSERT_OK_AND_ASSIGN(const auto created, conversations().CreateConversation(a_, conversation));

  v1::EraseScopeRequest request;
  request.set_request_id("e1");
  *request.mutable_scope() = UserScope("", "s1");
  ASSERT_OK_AND_ASSIGN(const auto by_session, memories().EraseScope(a_, request));
  EXPECT_EQ(by_session.memories(), 2);
  EXPECT_EQ(by_session.conversations(), 1);
  EXPECT_EQ(by_session.position(), 9);
  ASSERT_OK_AND_ASSIGN(const auto again, memories().EraseScope(a_, request));
  EXPECT_EQ(again.SerializeAsString(), by_session.SerializeAsString());
  v1::ListMessagesRequest messages;
  messages.set_conversation_id(created.conversation_id());
  EXPECT_THAT(conversations().ListMessages(a_, messages), StatusIs(StatusCode::kNotFound));

  request.set_request_id("e2");
  *request.mutable_scope() = UserScope("ann");
  ASSERT_OK_AND_ASSIGN(const auto by_user, memories().EraseScope(a_, request));
  EXPECT_EQ(by_user.memories(), 2);
  EXPECT_THAT(VisibleTexts(a_, std::nullopt), ElementsAre("bob ", "bob s2", "shared"));
  EXPECT_EQ(Head("a"), 11);
  EXPECT_EQ(Feed("a", 7).size(), 4u);
}

TEST_P(RepositoryTest, AnExpiredMemoryIsInvisibleThenSweptAway) {
  v1::NewMemory brief = TextMemory(UserScope("ann"), "brief");
  *brief.mutable_expire_time() =
      FromMicros(absl::ToUnixMicros(backend_->clock.Now() + absl::Seconds(10)));
  const v1::Memory memory = MustCreate(a_, brief);
  MustCreate(a_, TextMemory(UserScope("ann"), "lasting"));
  backend_->clock.Advance(absl::Seconds(9));
  EXPECT_THAT(VisibleTexts(a_, std::nullopt), ElementsAre("brief", "lasting"));
  backend_->clock.Advance(absl::Seconds(1));
  EXPECT_THAT(VisibleTexts(a_, std::nullopt), ElementsAre("lasting"));
  v1::BatchGetMemoriesRequest get;
  get.add_ids(memory.id());
  ASSERT_OK_AND_ASSIGN(const auto found, memories().GetMemories(a_, get));
  EXPECT_EQ(found.memories_size(), 0);
  EXPECT_THAT(memories().UpdateMemory(a_, TextUpdate("u", memory.id(), "x")),
              StatusIs(StatusCode::kNotFound));
  EXPECT_EQ(Head("a"), 2);

  ASSERT_OK_AND_ASSIGN(const int64_t n_deleted, memories().Sweep());
  EXPECT_EQ(n_deleted, 1);
  EXPECT_THAT(FeedKinds("a"), ElementsAre(FeedEntry::KIND_UPSERT, FeedEntry::KIND_DELETE));
  EXPECT_EQ(Head("a"), 3);
}

TEST_P(RepositoryTest, AnExpiredTextCanBeWrittenAgain) {
  v1::NewMemory brief = TextMemory(UserScope("ann"), "brief");
  *brief.mutable_expire_time() =
      FromMicros(absl::ToUnixMicros(backend_->clock.Now() + absl::Seconds(10)));
  const v1::Memory first = MustCreate(a_, brief);
  backend_->clock.Advance(absl::Seconds(11));
  const v1::Memory second = MustCreate(a_, TextMemory(UserScope("ann"), "brief"));
  EXPECT_NE(second.id(), first.id());
  EXPECT_THAT(FeedKinds("a"), ElementsAre(FeedEntry::KIND_DELETE, FeedEntry::KIND_UPSERT));
  EXPECT_THAT(VisibleTexts(a_, std::nullopt), ElementsAre("brief"));
}

TEST_P(RepositoryTest, AnErasedTenantLeavesOnlyItsErasureInTheFeed) {
  const v1::Memory memory = MustCreate(a_, TextMemory(UserScope("ann"), "tea"));
  MustCreate(b_, TextMemory(UserScope("ann"), "tea"));
  backend_->EraseTenant("a");
  EXPECT_THAT(FeedKinds("a"), ElementsAre(FeedEntry::KIND_ERASE_TENANT));
  EXPECT_THAT(FeedKinds("b"), ElementsAre(FeedEntry::KIND_UPSERT));
  EXPECT_EQ(Head("a"), 2);
  EXPECT_THAT(VisibleTexts(a_, std::nullopt), IsEmpty());
  EXPECT_THAT(
      memories().CreateMemories(a_, CreateRequest("late", TextMemory(UserScope("ann"), "late"))),
      StatusIs(StatusCode::kNotFound));
  v1::CreateConversationRequest conversation;
  conversation.set_request_id("late");
  EXPECT_THAT(conversations().CreateConversation(a_, conversation),
              StatusIs(StatusCode::kNotFound));

  backend_->OpenTenant("a");
  MustCreate(a_, TextMemory(UserScope("ann"), "new"));
  EXPECT_THAT(FeedKinds("a"), ElementsAre(FeedEntry::KIND_ERASE_TENANT, FeedEntry::KIND_UPSERT));
}

TEST_P(RepositoryTest, ConversationsKeepTheirMessagesInOrder) {
  v1::CreateConversationRequest create;
  create.set_request_id("c");
  *create.mutable_scope() = UserScope("ann");
  ASSERT_OK_AND_ASSIGN(const auto created, conversations().CreateConversation(a_, create));
  ASSERT_OK_AND_ASSIGN(const auto same, conversations().CreateConversation(a_, create));
  EXPECT_EQ(created.conversation_id(), same.conversation_id());
  EXPECT_EQ(created.conversation_id().rfind("conv_", 0), 0u);

  v1::AppendMessagesRequest append;
  append.set_conversation_id(created.conversation_id());
  for (int i = 0; i < 3; ++i) {
    append.set_request_id("append " + std::to_string(i));
    append.clear_messages();
    for (const char* role : {"user", "assistant"}) {
      auto* message = append.add_messages();
      message->set_role(role);
      message->set_content(std::string(role) + std::to_string(i));
    }
    EXPECT_OK(conversations().AppendMessages(a_, append));
  }
  ASSERT_OK_AND_ASSIGN(const auto repeated, conversations().AppendMessages(a_, append));
  EXPECT_EQ(repeated.n_messages(), 6);

  v1::ListMessagesRequest list;
  list.set_conversation_id(created.conversation_id());
  list.set_limit(3);
  *list.mutable_viewer() = UserScope("ann", "any session");
  ASSERT_OK_AND_ASSIGN(const auto listed, conversations().ListMessages(a_, list));
  ASSERT_EQ(listed.messages_size(), 3);
  EXPECT_EQ(listed.messages(0).content(), "assistant1");
  EXPECT_EQ(listed.messages(2).content(), "assistant2");
  EXPECT_EQ(listed.messages(2).role(), "assistant");

  const auto not_found = StatusIs(StatusCode::kNotFound);
  *list.mutable_viewer() = UserScope("bob");
  EXPECT_THAT(conversations().ListMessages(a_, list), not_found);
  append.set_request_id("bob's");
  *append.mutable_viewer() = UserScope("bob");
  EXPECT_THAT(conversations().AppendMessages(a_, append), not_found);
  v1::DeleteConversationRequest remove;
  remove.set_conversation_id(created.conversation_id());
  *remove.mutable_viewer() = UserScope("bob");
  EXPECT_THAT(conversations().DeleteConversation(a_, remove), not_found);
  remove.clear_viewer();
  EXPECT_THAT(conversations().DeleteConversation(b_, remove), not_found);
  EXPECT_OK(conversations().DeleteConversation(a_, remove));
  list.clear_viewer();
  EXPECT_THAT(conversations().ListMessages(a_, list), not_found);
}

}  // namespace
}  // namespace dki::memory_store
