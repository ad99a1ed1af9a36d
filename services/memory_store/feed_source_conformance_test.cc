// SPDX-License-Identifier: Apache-2.0
// Deleting, expiring, erasing, and what the feed says of it; conversations.
#include <gmock/gmock.h>

#include "services/memory_store/repository_fixture.h"

namespace dki::memory_store {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StatusIs;
using v1::FeedEntry;

class FeedSourceTest : public RepositoryTest {};
INSTANTIATE_TEST_SUITE_P(All, FeedSourceTest, ::testing::Values("Fake", "Postgres"),
                         [](const auto& info) { return info.param; });

TEST_P(FeedSourceTest, ADeletedMemoryIsGoneAndTheFeedSaysSo) {
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

TEST_P(FeedSourceTest, TheFeedCarriesTheMemoryAsItIsNow) {
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
    EXPECT_EQ(entry.text(), "milk");
    EXPECT_GE(entry.update_time().seconds(), memory.create_time().seconds());
  }
  EXPECT_EQ(entries[0].position(), 1);
  EXPECT_EQ(entries[1].position(), 2);
  ASSERT_OK_AND_ASSIGN(const auto bare, backend_->feed().ReadFeed("a", 1, 10, false));
  ASSERT_EQ(bare.entries.size(), 1u);
  EXPECT_FALSE(bare.entries[0].has_vector());
  EXPECT_EQ(bare.entries[0].text(), "");
}

TEST_P(FeedSourceTest, ABatchOfTheFeedPassesOverWhatItLeavesOut) {
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

TEST_P(FeedSourceTest, EraseScopeDeletesWhatLiesWithin) {
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

TEST_P(FeedSourceTest, AnExpiredMemoryIsInvisibleThenSweptAway) {
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

TEST_P(FeedSourceTest, AnExpiredTextCanBeWrittenAgain) {
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

TEST_P(FeedSourceTest, AnErasedTenantLeavesOnlyItsErasureInTheFeed) {
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

TEST_P(FeedSourceTest, ConversationsKeepTheirMessagesInOrder) {
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
