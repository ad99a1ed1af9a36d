// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/validate.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "libs/testing/status_matchers.h"
#include "services/memory_store/memory_rules.h"
#include "services/memory_store/test_requests.h"

namespace dki::memory_store {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

auto Refused(const std::string& field) {
  return testing::StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field));
}

// The status of a valid memory after `change`.
template <typename Change>
absl::Status Check(Change change) {
  v1::CreateMemoryRequest request;
  request.set_request_id("r");
  *request.mutable_memory() = TextMemory(UserScope("ann"), "tea");
  change(request.mutable_memory());
  return Validate(request, kNow);
}

absl::Status CheckText(const std::string& text) {
  return Check([&](v1::NewMemory* memory) { memory->set_text(text); });
}

absl::Status CheckFloats(const std::vector<float>& values) {
  return Check([&](v1::NewMemory* memory) {
    memory->mutable_vector()->set_values(reinterpret_cast<const char*>(values.data()),
                                         values.size() * sizeof(float));
  });
}

TEST(ValidateTest, Texts) {
  EXPECT_OK(CheckText(std::string(8192, 'x')));
  EXPECT_THAT(CheckText(""), Refused("memory.text: 0 bytes, must be 1 to 8192"));
  EXPECT_THAT(CheckText(std::string(8193, 'x')), Refused("memory.text: 8193 bytes"));
  EXPECT_THAT(CheckText(std::string(1 << 20, 'x')), Refused("memory.text"));
  EXPECT_THAT(CheckText(" \t\n"), Refused("memory.text: only white space"));
  EXPECT_THAT(CheckText(std::string("a\0b", 3)), Refused("memory.text: contains a NUL"));
  EXPECT_THAT(CheckText("a\xff"), Refused("memory.text: invalid UTF-8 at byte 1"));
}

TEST(ValidateTest, Vectors) {
  EXPECT_OK(CheckFloats({0.6f, 0.8f}));
  EXPECT_OK(CheckFloats({1.0009f}));
  EXPECT_THAT(CheckFloats({1.002f}), Refused("memory.vector.values: length"));
  EXPECT_THAT(CheckFloats({}), Refused("memory.vector.values"));
  EXPECT_THAT(CheckFloats({0, 0}), Refused("memory.vector.values"));
  EXPECT_THAT(CheckFloats({1, std::nanf("")}), Refused("memory.vector.values"));
  EXPECT_THAT(CheckFloats({std::numeric_limits<float>::infinity()}), Refused("memory.vector"));
  EXPECT_THAT(Check([](v1::NewMemory* memory) { memory->mutable_vector()->set_values("abcde"); }),
              Refused("memory.vector.values: 5 bytes"));
  EXPECT_THAT(
      Check([](v1::NewMemory* memory) { memory->mutable_vector()->clear_embedding_fingerprint(); }),
      Refused("memory.vector.embedding_fingerprint"));
}

TEST(ValidateTest, TheOtherFieldsOfAMemory) {
  EXPECT_THAT(Check([](auto* m) { m->mutable_scope()->set_user_id(std::string(257, 'x')); }),
              Refused("memory.scope.user_id: 257 bytes, must be 0 to 256"));
  EXPECT_THAT(Check([](auto* m) { m->mutable_scope()->set_agent_id("\xc0\x80"); }),
              Refused("memory.scope.agent_id: invalid UTF-8"));
  EXPECT_THAT(Check([](auto* m) { m->add_tags(""); }), Refused("memory.tags[0]"));
  EXPECT_THAT(Check([](auto* m) { m->add_tags(std::string(65, 'x')); }),
              Refused("must be 1 to 64"));
  EXPECT_THAT(Check([](auto* m) {
                for (int i = 0; i < 33; ++i) m->add_tags("x");
              }),
              Refused("memory.tags: 33 tags, must be at most 32"));
  EXPECT_OK(Check([](auto* m) { m->set_priority(-100); }));
  EXPECT_THAT(Check([](auto* m) { m->set_priority(101); }), Refused("memory.priority: 101"));
  EXPECT_OK(Check([](auto* m) { m->set_metadata_json(R"({"a": [1, {"b": null}]})"); }));
  for (const char* json : {"[1]", "\"x\"", "{", "{\"a\":}", "1"}) {
    EXPECT_THAT(Check([&](auto* m) { m->set_metadata_json(json); }),
                Refused("memory.metadata_json"))
        << json;
  }
  EXPECT_THAT(
      Check([](auto* m) { m->set_metadata_json("{\"a\": \"" + std::string(8192, 'x') + "\"}"); }),
      Refused("must be 0 to 8192"));
  EXPECT_THAT(Check([](auto* m) { m->set_metadata_json(std::string(4000, '[')); }),
              Refused("memory.metadata_json"));
  EXPECT_THAT(
      Check([](auto* m) { *m->mutable_expire_time() = FromMicros(absl::ToUnixMicros(kNow)); }),
      Refused("memory.expire_time: in the past"));
  EXPECT_THAT(Check([](auto* m) { m->mutable_expire_time()->set_seconds(INT64_MAX); }),
              Refused("memory.expire_time.seconds"));
  EXPECT_THAT(Check([](auto* m) { m->mutable_expire_time()->set_nanos(-1); }),
              Refused("memory.expire_time.nanos"));
  EXPECT_THAT(Check([](auto* m) { m->set_source_class(static_cast<common::v1::SourceClass>(99)); }),
              Refused("memory.source_class"));
}

TEST(ValidateTest, ABatchNamesTheMemoryAtFault) {
  v1::BatchCreateMemoriesRequest batch;
  batch.set_request_id("r");
  EXPECT_THAT(Validate(batch, kNow), Refused("memories: 0, must be 1 to 1000"));
  *batch.add_memories() = TextMemory(UserScope("ann"), "tea");
  *batch.add_memories() = TextMemory(UserScope("ann"), "");
  EXPECT_THAT(Validate(batch, kNow), Refused("memories[1].text"));
  batch.clear_request_id();
  EXPECT_THAT(Validate(batch, kNow), Refused("request_id: 0 bytes, must be 1 to 128"));
}

TEST(ValidateTest, Updates) {
  v1::UpdateMemoryRequest update = TextUpdate("r", "mem_1", "tea");
  EXPECT_OK(Validate(update, kNow));
  update.mutable_memory()->clear_vector();
  EXPECT_THAT(Validate(update, kNow), Refused("memory.vector"));
  update.mutable_update_mask()->set_paths(0, "source_class");
  EXPECT_THAT(Validate(update, kNow), Refused("update_mask: source_class"));
  update.clear_update_mask();
  EXPECT_THAT(Validate(update, kNow), Refused("update_mask"));
}

TEST(ValidateTest, ListsAndTheRest) {
  v1::ListMemoriesRequest list;
  list.set_page_size(1001);
  EXPECT_THAT(Validate(list), Refused("page_size: 1001, must be 0 to 1000"));
  list.set_page_size(-1);
  EXPECT_THAT(Validate(list), Refused("page_size"));
  v1::EraseScopeRequest erase;
  erase.set_request_id("r");
  EXPECT_THAT(Validate(erase), Refused("scope: must set at least one"));
  v1::BatchGetMemoriesRequest get;
  for (int i = 0; i < 1001; ++i) get.add_ids("x");
  EXPECT_THAT(Validate(get), Refused("ids: 1001"));
  v1::AppendMessagesRequest append;
  append.set_request_id("r");
  append.set_conversation_id("c");
  append.add_messages()->set_role("robot");
  EXPECT_THAT(Validate(append), Refused("messages[0].role"));
  v1::FollowFeedRequest follow;
  follow.add_starts()->set_tenant_id("a");
  follow.mutable_starts(0)->set_after_position(-1);
  EXPECT_THAT(Validate(follow), Refused("starts[0].after_position"));
}

}  // namespace
}  // namespace dki::memory_store
