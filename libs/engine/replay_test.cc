// SPDX-License-Identifier: Apache-2.0
// P4: real conversations, turn by turn, with and without memory writes between the turns, serve the
// same number of prompt tokens from the prefix cache; and what they answer is what an engine
// without a cache answers.
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "libs/engine/engine.h"
#include "libs/engine/test_engine.h"
#include "libs/model/json_reader.h"
#include "libs/model/test_models.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"

namespace dki::engine {
namespace {

using Conversation = std::vector<std::string>;  // by turns, the user's first

std::filesystem::path TopicalChat() {
  const char* folder = std::getenv("DKI_DATA");
  return std::filesystem::path(folder == nullptr ? "../shared/data" : folder) /
         "multiturn_topical_chat/topical_chat_valid_freq.jsonl";
}

#define SKIP_WITHOUT_DATA()                                                                       \
  if (!std::filesystem::exists(TopicalChat())) {                                                  \
    GTEST_SKIP() << TopicalChat() << " is absent: set DKI_DATA to the folder of evaluation data"; \
  }

absl::StatusOr<Conversation> ParseConversation(const std::string& line) {
  Conversation turns;
  model::JsonReader reader(line);
  const auto turn = [&]() -> absl::Status {
    return reader.ReadObject([&](const std::string& name) -> absl::Status {
      if (name != "text") return reader.Skip();
      DKI_ASSIGN_OR_RETURN(std::string text, reader.ReadString());
      turns.push_back(std::move(text));
      return absl::OkStatus();
    });
  };
  DKI_RETURN_IF_ERROR(reader.ReadObject([&](const std::string& name) -> absl::Status {
    return name == "turns" ? reader.ReadArray(turn) : reader.Skip();
  }));
  return turns;
}

absl::StatusOr<std::vector<Conversation>> ReadConversations(int n, size_t least_turns) {
  std::vector<Conversation> conversations;
  std::ifstream file(TopicalChat());
  for (std::string line; static_cast<int>(conversations.size()) < n && std::getline(file, line);) {
    DKI_ASSIGN_OR_RETURN(Conversation conversation, ParseConversation(line));
    if (conversation.size() >= least_turns) conversations.push_back(std::move(conversation));
  }
  return conversations;
}

enum class Writes { kNone, kBetweenTurns };
enum class Replies { kRecorded, kOwn };

struct Served {
  std::vector<int> cached_tokens;  // by request
  std::vector<std::vector<int32_t>> answers;
};

struct Replay {
  TestModel* model;
  std::vector<Conversation> conversations;
  int n_requests;  // of a conversation
  int n_tokens;    // of an answer
};

// Each line of the conversation becomes a memory once it has been said; the newest four are
// injected. The conversation goes on with the recorded replies, or with the model's own.
void RunReplay(const Replay& replay, Writes writes, Replies replies, int64_t prefix_cache_bytes,
               Served* served) {
  Engine::Options options;
  options.prefix_cache_bytes = prefix_cache_bytes;
  const auto engine = replay.model->MakeEngine(options);
  for (size_t c = 0; c < replay.conversations.size(); ++c) {
    const Conversation& turns = replay.conversations[c];
    Prompt prompt;
    prompt.system_prompt = "You are a friendly partner in a conversation.";
    for (int i = 0; i < replay.n_requests; ++i) {
      prompt.turn = {"user", turns[2 * i]};
      prompt.place = writes == Writes::kNone ? MemoryPlace::kNone : MemoryPlace::kInjected;
      ASSERT_OK_AND_ASSIGN(const Answer answer, engine->Generate(For("tenant"), prompt,
                                                                 Tokens(replay.n_tokens), nullptr));
      engine->WaitUntilIdle();
      served->cached_tokens.push_back(answer.usage.cached_prompt_tokens);
      served->answers.push_back(answer.token_ids);
      prompt.history.push_back(prompt.turn);
      prompt.history.push_back(
          {"assistant", replies == Replies::kRecorded ? turns[2 * i + 1] : answer.text});
      if (writes == Writes::kNone) continue;
      prompt.memories.push_back({.memory_id = std::to_string(100 * c + i),
                                 .text = turns[2 * i],
                                 .alpha_read = 1.0,
                                 .alpha_answer = 2.0,
                                 .rank = i});
      if (prompt.memories.size() > 4) prompt.memories.erase(prompt.memories.begin());
    }
  }
}

// What a request finds: everything up to the recorded reply, which nobody has computed yet.
std::vector<int> Expected(const Replay& replay) {
  std::vector<int> expected;
  for (const Conversation& turns : replay.conversations) {
    Prompt prompt;
    prompt.system_prompt = "You are a friendly partner in a conversation.";
    for (int i = 0; i < replay.n_requests; ++i) {
      prompt.turn = {"user", turns[2 * i]};
      const auto plan = PlanPrompt(replay.model->language(), "tenant", prompt, replay.n_tokens);
      EXPECT_OK(plan);
      const bool first_of_all = expected.empty();
      expected.push_back(i > 0          ? plan->answers.back().first
                         : first_of_all ? 0
                                        : static_cast<int>(plan->history.size()));
      prompt.history.push_back(prompt.turn);
      prompt.history.push_back({"assistant", turns[2 * i + 1]});
    }
  }
  return expected;
}

void ExpectP4(const Replay& replay) {
  constexpr int64_t kCache = int64_t{1} << 30;
  Served without, with, uncached;
  RunReplay(replay, Writes::kNone, Replies::kRecorded, kCache, &without);
  RunReplay(replay, Writes::kBetweenTurns, Replies::kRecorded, kCache, &with);
  RunReplay(replay, Writes::kBetweenTurns, Replies::kRecorded, 0, &uncached);
  EXPECT_EQ(with.cached_tokens, without.cached_tokens);
  EXPECT_EQ(with.cached_tokens, Expected(replay));
  EXPECT_THAT(uncached.cached_tokens, ::testing::Each(0));
  EXPECT_EQ(with.answers, uncached.answers);
  EXPECT_NE(with.answers, without.answers);  // or the memories did nothing
}

TEST(ReplayTest, MemoryWritesDoNotDisturbThePrefixCache) {
  SKIP_WITHOUT_DATA();
  const testing::TempDir folder;
  TestModel model(testing::WriteTinyModel(folder.path()));
  ASSERT_OK_AND_ASSIGN(const auto conversations, ReadConversations(24, 10));
  ExpectP4({&model, conversations, 5, 4});
}

// As a client would: the model's own words come back as history, and are found whole.
TEST(ReplayTest, OwnAnswersAreFoundWhole) {
  SKIP_WITHOUT_DATA();
  const testing::TempDir folder;
  TestModel model(testing::WriteTinyModel(folder.path()));
  ASSERT_OK_AND_ASSIGN(const auto conversations, ReadConversations(4, 10));
  const Replay replay{&model, conversations, 5, 16};
  for (const Writes writes : {Writes::kNone, Writes::kBetweenTurns}) {
    Served cached, uncached;
    RunReplay(replay, writes, Replies::kOwn, int64_t{1} << 30, &cached);
    RunReplay(replay, writes, Replies::kOwn, 0, &uncached);
    EXPECT_EQ(cached.answers, uncached.answers);
    for (size_t i = 1; i < cached.cached_tokens.size(); ++i) {
      if (i % 5 == 0) continue;  // another conversation begins
      EXPECT_GT(cached.cached_tokens[i], cached.cached_tokens[i - 1]) << i;
    }
  }
}

TEST(ReplayTest, TheDefaultModelHoldsP4) {
  DKI_SKIP_WITHOUT(model::DefaultModelPath());
  SKIP_WITHOUT_DATA();
  TestModel model(model::DefaultModelPath());
  ASSERT_OK_AND_ASSIGN(const auto conversations, ReadConversations(20, 4));
  ExpectP4({&model, conversations, 2, 2});
}

}  // namespace
}  // namespace dki::engine
