// SPDX-License-Identifier: Apache-2.0
// Every family in the engine, from its tiny checkpoint: chat format, packs, placement. (The
// checkpoints have no chat template: plain text.)
#include <gmock/gmock.h>

#include <filesystem>

#include "libs/base/file.h"
#include "libs/engine/test_engine.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::engine {
namespace {

using dki::testing::StatusIs;
using ::testing::HasSubstr;

const std::filesystem::path kFamilies = "libs/model/testdata/families";
constexpr char kContinuation[] = " a baker.";

void CopyFamily(const std::string& name, const std::string& to) {
  std::filesystem::copy(kFamilies / name, to);
  std::filesystem::copy_file(kFamilies / "tokenizer.json", to + "/tokenizer.json");
}

std::vector<double> Scores(Engine& engine, const Prompt& prompt) {
  const auto scores = engine.Score(For("t"), prompt, kContinuation);
  EXPECT_OK(scores);
  return scores.ok() ? scores->log_probabilities : std::vector<double>();
}

// One memory: the windows of the tiny models are short.
Prompt Remembering(MemoryPlace place, double alpha) {
  Prompt prompt = Ask("Jack's job?");
  prompt.place = place;
  prompt.context_system_prompt = prompt.system_prompt;
  prompt.memories = {{.memory_id = "mem_1",
                      .text = "Jack is a baker.",
                      .alpha_read = alpha,
                      .alpha_answer = alpha,
                      .rank = 0}};
  return prompt;
}

class EngineFamiliesTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, EngineFamiliesTest,
                         ::testing::Values("llama", "qwen2", "qwen3", "gemma3", "glm", "glm4",
                                           "gpt_neox"),
                         [](const auto& info) { return info.param; });

TEST_P(EngineFamiliesTest, MemoryIsInjected) {
  testing::TempDir dir;
  CopyFamily(GetParam(), dir.path());
  TestModel model(dir.path(), "float");
  const auto engine = model.MakeEngine();
  const std::vector<double> vanilla = Scores(*engine, Ask("Jack's job?"));
  EXPECT_EQ(Scores(*engine, Remembering(MemoryPlace::kInjected, 0.0)), vanilla);

  const std::vector<double> injected = Scores(*engine, Remembering(MemoryPlace::kInjected, 1.0));
  const std::vector<double> prompted = Scores(*engine, Remembering(MemoryPlace::kPromptLate, 1.0));
  ASSERT_EQ(injected.size(), prompted.size());
  for (size_t i = 0; i < injected.size(); ++i) EXPECT_NEAR(injected[i], prompted[i], 1e-3) << i;
  EXPECT_NE(injected, vanilla);
  EXPECT_NE(Scores(*engine, Remembering(MemoryPlace::kInjected, 4.0)), injected);

  ASSERT_OK_AND_ASSIGN(
      const Answer answer,
      engine->Generate(For("t"), Remembering(MemoryPlace::kInjected, 1.0), Tokens(4), nullptr));
  EXPECT_GT(answer.usage.injected_tokens, 0);
  EXPECT_EQ(answer.usage.memory_prompt_tokens, 0);
}

TEST(EngineWithoutRotaryPositionsTest, MemoryIsATruePrefixOrItsRequestFails) {
  testing::TempDir dir;
  CopyFamily("glm4", dir.path());
  ASSERT_OK_AND_ASSIGN(std::string config, ReadFile(dir.File("config.json")));
  const std::string_view factor = "\"partial_rotary_factor\": 0.5";
  ASSERT_NE(config.find(factor), config.npos);
  config.replace(config.find(factor), factor.size(), "\"partial_rotary_factor\": 0.05");
  ASSERT_OK(WriteFileAtomically(dir.File("config.json"), config));
  TestModel model(dir.path(), "float");
  const auto engine = model.MakeEngine();
  EXPECT_THAT(engine->Score(For("t"), Remembering(MemoryPlace::kInjected, 0.5), kContinuation),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("true prefix")));
  EXPECT_EQ(Scores(*engine, Remembering(MemoryPlace::kInjected, 0.0)),
            Scores(*engine, Ask("Jack's job?")));
  const std::vector<double> injected = Scores(*engine, Remembering(MemoryPlace::kInjected, 1.0));
  const std::vector<double> prompted = Scores(*engine, Remembering(MemoryPlace::kPromptLate, 1.0));
  ASSERT_EQ(injected.size(), prompted.size());
  for (size_t i = 0; i < injected.size(); ++i) EXPECT_NEAR(injected[i], prompted[i], 1e-3) << i;
}

}  // namespace
}  // namespace dki::engine
