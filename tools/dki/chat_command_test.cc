// SPDX-License-Identifier: Apache-2.0
// Chats: what they send and show.
#include <gmock/gmock.h>

#include "libs/testing/status_matchers.h"
#include "tools/dki/answer_without.h"
#include "tools/dki/commands_fixture.h"

namespace dki::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(CommandsTest, ChatSendsItsOptionsAndExplainsTheAnswer) {
  const Result result =
      Run({"chat",        "What to drink?", "--user",    "ann",      "--mode",    "prompt",
           "--place",     "system",         "--alpha",   "0.5",      "--k",       "3",
           "--threshold", "0.25",           "--no-gate", "--system", "Be brief.", "--max-tokens",
           "9",           "--temperature",  "0.75",      "--seed",   "4",         "--stop",
           "END",         "--explain"});
  EXPECT_EQ(result.code, 0) << result.err;
  ASSERT_EQ(fake_.chats.size(), 1);
  const api::ChatRequest& request = fake_.chats[0];
  EXPECT_EQ(request.scope().user_id(), "ann");
  EXPECT_EQ(request.memory().mode(), common::v1::MODE_PROMPT);
  EXPECT_EQ(request.memory().prompt_place(), common::v1::PROMPT_PLACE_SYSTEM);
  EXPECT_EQ(request.memory().alpha(), 0.5);
  EXPECT_EQ(request.memory().k(), 3);
  EXPECT_EQ(request.memory().threshold(), 0.25f);
  EXPECT_TRUE(request.memory().has_gate() && !request.memory().gate());
  ASSERT_EQ(request.messages_size(), 2);
  EXPECT_EQ(request.messages(0).content(), "Be brief.");
  EXPECT_EQ(request.messages(1).content(), "What to drink?");
  EXPECT_EQ(request.sampling().max_tokens(), 9);
  EXPECT_EQ(request.sampling().temperature(), 0.75f);
  EXPECT_EQ(request.sampling().seed(), 4);
  EXPECT_THAT(result.out, StartsWith("It is tea.\n"));
  for (const char* shown : {"Ann drinks tea.", "0.625", "43.75 %", "1.00 → 2.00", "25.00 %",
                            "12.50 %", "ram", "load: 0.4 ms against 21.0 ms", "(erased)",
                            "below_threshold", "superseded", "without kv"}) {
    EXPECT_THAT(result.out, HasSubstr(shown));
  }
  EXPECT_THAT(result.out, Not(HasSubstr("\x1b")));
}

// What is asked again is the recorded question, with the other memories at their recorded weights.
TEST(AnswerWithoutTest, AsksAgainWithTheOtherMemoriesAtTheirWeights) {
  api::GetDecisionResponse recorded;
  recorded.mutable_decision()->set_query_text("Where is Ann?");
  auto* decision = recorded.mutable_decision()->mutable_decision();
  decision->mutable_scope()->set_user_id("ann");
  decision->set_mode(common::v1::MODE_INJECTED);
  decision->set_composition("independent");
  auto* outcome = recorded.mutable_decision()->mutable_outcome();
  for (const auto& [id, share] : {std::pair{"mem_1", 0.1}, {"mem_2", 0.4}, {"mem_3", 0.2}}) {
    auto* chosen = decision->add_chosen();
    chosen->set_memory_id(id);
    chosen->set_alpha_read(1.5);
    chosen->set_alpha_answer(2.5);
    auto* memory = outcome->add_memories();
    memory->set_memory_id(id);
    memory->set_attention_share(share);
  }
  std::string left_out;
  ASSERT_OK_AND_ASSIGN(const api::ChatRequest top, AskWithout(recorded, "top", &left_out));
  EXPECT_EQ(left_out, "mem_2");
  EXPECT_EQ(top.messages(0).content(), "Where is Ann?");
  EXPECT_EQ(top.scope().user_id(), "ann");
  EXPECT_EQ(top.memory().mode(), common::v1::MODE_INJECTED);
  EXPECT_EQ(top.memory().composition(), "independent");
  ASSERT_EQ(top.memory().memory_ids_size(), 2);
  EXPECT_EQ(top.memory().memory_ids(1), "mem_3");
  EXPECT_EQ(top.memory().weights(1).memory_id(), "mem_3");
  EXPECT_EQ(top.memory().weights(1).alpha_answer(), 2.5);
  ASSERT_OK_AND_ASSIGN(const api::ChatRequest none, AskWithout(recorded, "all", &left_out));
  EXPECT_EQ(left_out, "");
  EXPECT_EQ(none.memory().mode(), common::v1::MODE_VANILLA);
  EXPECT_EQ(AskWithout(recorded, "mem_9", &left_out).status().code(),
            absl::StatusCode::kInvalidArgument);
  recorded.mutable_decision()->clear_query_text();
  EXPECT_EQ(AskWithout(recorded, "mem_1", &left_out).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(CommandsTest, AConversationSendsOnlyWhatIsNew) {
  std::istringstream in("first\n\nsecond\n/quit\nnever\n");
  std::streambuf* before = std::cin.rdbuf(in.rdbuf());
  const Result result = Run({"chat"});
  std::cin.rdbuf(before);
  EXPECT_EQ(result.code, 0) << result.err;
  ASSERT_EQ(fake_.chats.size(), 2);
  for (const api::ChatRequest& request : fake_.chats) {
    EXPECT_EQ(request.conversation_id(), "conv_1");
    EXPECT_EQ(request.messages_size(), 1);
  }
  EXPECT_EQ(fake_.chats[1].messages(0).content(), "second");
  EXPECT_NE(fake_.chats[0].request_id(), fake_.chats[1].request_id());
}

}  // namespace
}  // namespace dki::cli
