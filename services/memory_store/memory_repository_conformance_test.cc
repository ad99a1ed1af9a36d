// SPDX-License-Identifier: Apache-2.0
// Writing, reading and changing memories.
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>

#include "services/memory_store/repository_fixture.h"

namespace dki::memory_store {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StatusIs;
using v1::FeedEntry;

class MemoryRepositoryTest : public RepositoryTest {};
INSTANTIATE_TEST_SUITE_P(All, MemoryRepositoryTest, ::testing::Values("Fake", "Postgres"),
                         [](const auto& info) { return info.param; });

TEST_P(MemoryRepositoryTest, AMemoryComesBackAsItWasWritten) {
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

TEST_P(MemoryRepositoryTest, ARepeatedRequestHasTheFirstResultAndWritesNothing) {
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

TEST_P(MemoryRepositoryTest, ARequestIdCannotStandForAnotherRequest) {
  EXPECT_OK(
      memories().CreateMemories(a_, CreateRequest("r1", TextMemory(UserScope("ann"), "tea"))));
  EXPECT_THAT(
      memories().CreateMemories(a_, CreateRequest("r1", TextMemory(UserScope("ann"), "milk"))),
      StatusIs(StatusCode::kInvalidArgument, HasSubstr("request_id")));
  EXPECT_THAT(memories().DeleteMemory(a_, DeleteRequest("r1", "mem_x")),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("request_id")));
}

TEST_P(MemoryRepositoryTest, RequestsAreForgottenAfterTheirRetention) {
  EXPECT_OK(
      memories().CreateMemories(a_, CreateRequest("r1", TextMemory(UserScope("ann"), "tea"))));
  backend_->clock.Advance(kRequestRetention + absl::Seconds(1));
  EXPECT_OK(memories().Sweep());
  EXPECT_OK(
      memories().CreateMemories(a_, CreateRequest("r1", TextMemory(UserScope("ann"), "milk"))));
}

TEST_P(MemoryRepositoryTest, TheSameTextInTheSameScopeIsStoredOnce) {
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

TEST_P(MemoryRepositoryTest, ABatchIsStoredWholeOrNotAtAll) {
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

TEST_P(MemoryRepositoryTest, EachScopeFieldThatIsSetMustEqualTheViewers) {
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

TEST_P(MemoryRepositoryTest, NothingCanBeDoneToAMemoryThatIsNotVisible) {
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

TEST_P(MemoryRepositoryTest, GetKeepsTheOrderAskedAndLeavesOutWhatIsNotThere) {
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

TEST_P(MemoryRepositoryTest, PagesCoverTheListOnceOldestFirst) {
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

TEST_P(MemoryRepositoryTest, APageTokenBelongsToItsList) {
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

TEST_P(MemoryRepositoryTest, AnUpdateMakesAVersionAndKeepsTheOldOne) {
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

TEST_P(MemoryRepositoryTest, AnUpdateChangesOnlyWhatTheMaskNames) {
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

TEST_P(MemoryRepositoryTest, AnUpdateIsIdempotentAndConditional) {
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

TEST_P(MemoryRepositoryTest, AnUpdateCannotTakeAnotherMemorysText) {
  MustCreate(a_, TextMemory(UserScope("ann"), "tea"));
  const v1::Memory milk = MustCreate(a_, TextMemory(UserScope("ann"), "milk"));
  EXPECT_THAT(memories().UpdateMemory(a_, TextUpdate("u", milk.id(), "tea")),
              StatusIs(StatusCode::kAlreadyExists));
  EXPECT_OK(memories().UpdateMemory(a_, TextUpdate("u2", milk.id(), "milk")));
}

TEST_P(MemoryRepositoryTest, WhatTheWholeTenantSeesIsAnAdministratorsToChange) {
  const v1::Memory memory = MustCreate(a_, TextMemory(common::v1::Scope(), "for all"));
  const auto denied = StatusIs(StatusCode::kPermissionDenied);
  EXPECT_THAT(memories().UpdateMemory(a_member_, TextUpdate("u", memory.id(), "x")), denied);
  EXPECT_THAT(memories().DeleteMemory(a_member_, DeleteRequest("d", memory.id())), denied);
  EXPECT_OK(memories().DeleteMemory(a_, DeleteRequest("d", memory.id())));
}

}  // namespace
}  // namespace dki::memory_store
