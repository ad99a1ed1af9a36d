// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/validate.h"

#include <cmath>
#include <functional>
#include <limits>

#include "libs/testing/status_matchers.h"

namespace dki::retrieval {
namespace {

using ::dki::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

v1::SearchRequest Good() {
  v1::SearchRequest request;
  request.set_query("where?");
  request.set_k(1);
  return request;
}

TEST(ValidateSearchTest, LimitsAreInclusive) {
  v1::SearchRequest request = Good();
  EXPECT_OK(Validate(request));
  request.set_query(std::string(65'536, 'x'));
  request.set_k(1000);
  request.set_threshold(-1);
  request.mutable_scope()->set_user_id(std::string(256, 'u'));
  for (int i = 0; i < 1000; ++i) request.add_memory_ids("m");
  EXPECT_OK(Validate(request));
  request.set_threshold(1);
  EXPECT_OK(Validate(request));
}

TEST(ValidateSearchTest, NamesFieldAndLimit) {
  const struct {
    std::function<void(v1::SearchRequest*)> spoil;
    const char* field;
    const char* limit;
  } kCases[] = {
      {[](auto* r) { r->set_query(""); }, "query", "1 to 65536"},
      {[](auto* r) { r->set_query(std::string(65'537, 'x')); }, "query", "1 to 65536"},
      {[](auto* r) { r->set_query("a\xff"); }, "query", "UTF-8 at byte 1"},
      {[](auto* r) { r->set_query(std::string("a\0b", 3)); }, "query", "NUL at byte 1"},
      {[](auto* r) { r->set_k(0); }, "k is 0", "1 to 1000"},
      {[](auto* r) { r->set_k(-5); }, "k is -5", "1 to 1000"},
      {[](auto* r) { r->set_k(1001); }, "k is 1001", "1 to 1000"},
      {[](auto* r) { r->set_threshold(std::numeric_limits<float>::quiet_NaN()); },
       "threshold is nan", "-1 to 1"},
      {[](auto* r) { r->set_threshold(1.5f); }, "threshold is 1.5", "-1 to 1"},
      {[](auto* r) { r->set_min_position(-1); }, "min_position is -1", "negative"},
      {[](auto* r) { r->mutable_scope()->set_agent_id(std::string(257, 'a')); }, "scope.agent_id",
       "0 to 256"},
      {[](auto* r) { r->mutable_scope()->set_user_id(std::string("u\0", 2)); }, "scope.user_id",
       "NUL"},
      {[](auto* r) { r->set_tag(std::string(65, 't')); }, "tag", "0 to 64"},
      {[](auto* r) { r->add_memory_ids(""); }, "memory_ids[0]", "1 to 128"},
      {[](auto* r) {
         for (int i = 0; i < 1001; ++i) r->add_memory_ids("m");
       },
       "memory_ids has 1001", "at most 1000"},
      {[](auto* r) { r->set_word_weight(10.5f); }, "word_weight is 10.5", "0 to 10"},
      {[](auto* r) { r->set_word_weight(std::nanf("")); }, "word_weight", "0 to 10"},
      {[](auto* r) {
         for (int i = 0; i < 9; ++i) r->add_recent("turn");
       },
       "recent has 9", "at most 8"},
      {[](auto* r) { r->add_recent("\xff"); }, "recent[0]", "UTF-8"},
  };
  for (const auto& c : kCases) {
    v1::SearchRequest request = Good();
    c.spoil(&request);
    EXPECT_THAT(Validate(request), StatusIs(absl::StatusCode::kInvalidArgument,
                                            AllOf(HasSubstr(c.field), HasSubstr(c.limit))));
  }
}

TEST(ValidateEmbedTest, NamesFieldAndLimit) {
  v1::EmbedRequest request;
  EXPECT_THAT(Validate(request), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("texts has 0 items; it must have 1 to 256")));
  request.add_texts("fine");
  EXPECT_OK(Validate(request));
  request.add_texts("");
  EXPECT_THAT(Validate(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("texts[1]")));
  request.clear_texts();
  for (int i = 0; i < 257; ++i) request.add_texts("x");
  EXPECT_THAT(Validate(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("257 items")));
}

}  // namespace
}  // namespace dki::retrieval
