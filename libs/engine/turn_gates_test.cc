// SPDX-License-Identifier: Apache-2.0
// Memories whose tokens are gated by what was asked, through the whole engine.
#include "libs/engine/turn_gates.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "libs/engine/test_engine.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"

namespace dki::engine {
namespace {

using dki::testing::StatusIs;
using ::testing::HasSubstr;

constexpr char kContinuation[] = " Jack is a baker in the town.";

class TurnGatesTest : public ::testing::Test {
 protected:
  TurnGatesTest() : model_(testing::WriteTinyModel(folder_.path())) {}

  static Prompt Gated(const std::string& mode, double alpha = 1.0) {
    Prompt prompt = WithMemories(WithHistory(Ask("What is Jack's job, and where does he work?")),
                                 MemoryPlace::kInjected, alpha);
    if (mode.empty()) return prompt;
    EXPECT_OK(injection::SetGateOption("gates", mode, &prompt.gates));
    return prompt;
  }
  std::vector<double> Scores(Engine& engine, const Prompt& prompt) {
    const auto scores = engine.Score(For("t"), prompt, kContinuation);
    EXPECT_OK(scores);
    return scores.ok() ? scores->log_probabilities : std::vector<double>();
  }

  testing::TempDir folder_;
  TestModel model_;
};

TEST_F(TurnGatesTest, ModesDiffer) {
  const auto engine = model_.MakeEngine();
  std::vector<std::vector<double>> all = {Scores(*engine, Gated(""))};
  for (const char* mode : {"uniform", "context_aware", "hybrid", "gated_preference"}) {
    all.push_back(Scores(*engine, Gated(mode)));
  }
  Prompt max = Gated("context_aware");
  ASSERT_OK(injection::SetGateOption("gate_pool", "max", &max.gates));
  all.push_back(Scores(*engine, max));
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_NE(all[i], all[j]) << i << " " << j;
  }
}

// All memories at the preference's layers with gates; as history at theirs, without.
TEST_F(TurnGatesTest, ClassesAreTreatedApart) {
  const auto engine = model_.MakeEngine();
  Prompt preference = Gated("gated_preference");
  Prompt history = preference;
  for (Memory& memory : history.memories) {
    memory.attributes.source_class = injection::SourceClass::kDocument;
  }
  EXPECT_FALSE(history.gates.asks(injection::MemoryClass::kHistory));
  EXPECT_NE(Scores(*engine, history), Scores(*engine, preference));
  // With the same layers for both, what is left is the gate (and what capped sources are computed
  // behind, which is the same here).
  Prompt plain = history;
  plain.gates.mode = injection::GateMode::kNone;
  plain.gates.class_layers = true;
  EXPECT_EQ(Scores(*engine, history), Scores(*engine, plain));
}

TEST_F(TurnGatesTest, AlphaZeroIsVanillaWhateverTheGates) {
  const auto engine = model_.MakeEngine();
  const std::vector<double> vanilla =
      Scores(*engine, WithHistory(Ask("What is Jack's job, and where does he work?")));
  for (const char* mode : {"uniform", "context_aware", "gated_preference"}) {
    EXPECT_EQ(Scores(*engine, Gated(mode, 0.0)), vanilla) << mode;
  }
}

// P11: neither the pieces in which the message is read nor who else is served change an answer.
TEST_F(TurnGatesTest, ChunksAndNeighboursChangeNothing) {
  const Prompt prompt = Gated("context_aware");
  const auto whole = model_.MakeEngine();
  const std::vector<double> want = Scores(*whole, prompt);
  const auto pieces = model_.MakeEngine({.prefill_chunk = 5, .stats_listener = nullptr});
  EXPECT_EQ(Scores(*pieces, prompt), want);
  std::thread neighbour(
      [&] { EXPECT_OK(pieces->Generate(For("u"), Gated("hybrid"), Tokens(24), nullptr)); });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Scores(*pieces, prompt), want);
  neighbour.join();
}

// Gates outlive a sequence's K/V, and half a reading of the message is begun again.
TEST_F(TurnGatesTest, APreemptedAnswerHasTheSameBytes) {
  const auto roomy = model_.MakeEngine();
  const Prompt prompt = Gated("context_aware");
  ASSERT_OK_AND_ASSIGN(const Answer want, roomy->Generate(For("t"), prompt, Tokens(300), nullptr));
  Engine::Options options{.prefill_chunk = 16, .stats_listener = nullptr};
  const model::KvShape shape{model_.language().config->n_layers,
                             model_.language().config->n_kv_heads,
                             model_.language().config->head_dim};
  options.kv_cache_bytes = static_cast<int64_t>(shape.bytes_per_token()) * model::kPageTokens * 40;
  options.prefix_cache_bytes = options.kv_cache_bytes / 20;
  const auto tight = model_.MakeEngine(options);
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&, i] {
      const auto got = tight->Generate(For(std::to_string(i)), prompt, Tokens(300), nullptr);
      ASSERT_OK(got);
      EXPECT_THAT(got->degraded, ::testing::IsEmpty());
      EXPECT_EQ(got->token_ids, want.token_ids);
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_GT(tight->stats().preempted, 0);
}

// Gates of a memory say nothing about the others: with a memory more, the first one's K/V and
// gates are the same, so closing the other by weight 0 gives the answer without it.
TEST_F(TurnGatesTest, AMemoryWithoutWeightChangesNoGates) {
  const auto engine = model_.MakeEngine();
  Prompt with = Gated("context_aware");
  Prompt without = with;
  with.memories[2].alpha_read = with.memories[2].alpha_answer = 0.0;
  without.memories.erase(without.memories.begin() + 2);
  EXPECT_EQ(Scores(*engine, with), Scores(*engine, without));
}

TEST_F(TurnGatesTest, ARefinementOfZerosChangesNothing) {
  const auto engine = model_.MakeEngine();
  Prompt prompt = Gated("");
  const std::vector<double> plain = Scores(*engine, prompt);
  const int d = model_.language().config->head_dim;
  model::ValueRefinement refinement{.kernel = 1};
  refinement.norm.assign(d, 1.0f);
  refinement.weights.assign(d, 0.0f);
  refinement.bias.assign(d, 0.0f);
  prompt.refinement = std::make_shared<const model::ValueRefinement>(refinement);
  EXPECT_EQ(Scores(*engine, prompt), plain);
  refinement.weights.assign(d, 1.0f);
  prompt.refinement = std::make_shared<const model::ValueRefinement>(refinement);
  EXPECT_NE(Scores(*engine, prompt), plain);
}

TEST_F(TurnGatesTest, OptionsAreChecked) {
  const auto engine = model_.MakeEngine();
  Prompt prompt = Gated("context_aware");
  prompt.gates.temperature = 0;
  EXPECT_THAT(engine->Score(For("t"), prompt, kContinuation),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("gate_temperature")));
}

}  // namespace
}  // namespace dki::engine
