// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/engine.h"

#include <gmock/gmock.h>

#include <atomic>
#include <latch>
#include <thread>

#include "libs/base/utf8.h"
#include "libs/engine/test_engine.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"

namespace dki::engine {
namespace {

using dki::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kQuestion[] = "What is Jack's job?";
constexpr char kContinuation[] = " Jack is a baker in the town.";

// The tiny model is very sure of one token; this makes its answers vary.
AnswerOptions Varied(int max_tokens, uint64_t seed = 7) {
  AnswerOptions options = Tokens(max_tokens);
  options.sampling.temperature = 10.0f;
  options.sampling.seed = seed;
  return options;
}

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() : model_(testing::WriteTinyModel(folder_.path())) {}

  std::vector<double> Scores(Engine& engine, const Prompt& prompt) {
    const auto scores = engine.Score(For("t"), prompt, kContinuation);
    EXPECT_OK(scores);
    return scores.ok() ? scores->log_probabilities : std::vector<double>();
  }

  testing::TempDir folder_;
  TestModel model_;
};

TEST_F(EngineTest, AlphaZeroIsTheVanillaModelBitForBit) {
  for (const Prompt& vanilla : {Ask(kQuestion), WithHistory(Ask(kQuestion))}) {
    const Prompt zero = WithMemories(vanilla, MemoryPlace::kInjected, 0.0);
    const auto engine = model_.MakeEngine();
    EXPECT_EQ(Scores(*engine, zero), Scores(*engine, vanilla));
    ASSERT_OK_AND_ASSIGN(const Answer a, engine->Generate(For("a"), zero, Varied(16), nullptr));
    ASSERT_OK_AND_ASSIGN(const Answer b, engine->Generate(For("b"), vanilla, Varied(16), nullptr));
    EXPECT_EQ(a.token_ids, b.token_ids);
    EXPECT_EQ(a.usage.injected_tokens, 0);
  }
}

TEST_F(EngineTest, AWeightlessMemoryIsInNoChain) {
  const auto engine = model_.MakeEngine();
  Prompt with = WithMemories(WithHistory(Ask(kQuestion)), MemoryPlace::kInjected, 1.5);
  Prompt without = with;
  with.memories[1].alpha_read = with.memories[1].alpha_answer = 0.0;
  without.memories.erase(without.memories.begin() + 1);
  EXPECT_EQ(Scores(*engine, with), Scores(*engine, without));
}

TEST_F(EngineTest, CompositionsAttendToTheSameTokens) {
  const auto engine = model_.MakeEngine();
  Prompt prompt = WithMemories(WithHistory(Ask(kQuestion)), MemoryPlace::kInjected, 1.0);
  ASSERT_OK_AND_ASSIGN(const Answer pack, engine->Generate(For("t"), prompt, Tokens(4), nullptr));
  const std::vector<double> joint = Scores(*engine, prompt);
  for (const char* name : {"independent", "repair(3)", "blend(0.3)", "repair(1000)"}) {
    prompt.composition = *injection::ParseComposition(name);
    ASSERT_OK_AND_ASSIGN(const Answer a, engine->Generate(For("t"), prompt, Tokens(4), nullptr));
    EXPECT_EQ(a.usage.injected_tokens, pack.usage.injected_tokens);
    double sum = a.lead_in_share;
    for (size_t i = 0; i < a.memories.size(); ++i) {
      EXPECT_EQ(a.memories[i].n_tokens, pack.memories[i].n_tokens) << name;
      EXPECT_GT(a.memories[i].attention_share, 0.0) << name;
      sum += a.memories[i].attention_share;
    }
    EXPECT_LT(sum, 1.0);
    ASSERT_OK_AND_ASSIGN(const ProbeResult probe, engine->Probe(For("t"), prompt, {{{0, 0}}}));
    for (const ProbedMemory& memory : probe.memories) EXPECT_GT(memory.head_shares[0], 0.0);
    if (std::string(name) == "repair(1000)") {
      EXPECT_EQ(Scores(*engine, prompt), joint);
    } else {
      EXPECT_NE(Scores(*engine, prompt), joint) << name;
    }
  }
}

TEST_F(EngineTest, AHistoryThatAttendedIsKeptForNobody) {
  const auto engine = model_.MakeEngine();
  const Prompt fresh = WithMemories(WithHistory(Ask(kQuestion)), MemoryPlace::kInjected, 1.0);
  Prompt sticky = fresh;
  sticky.history_attends = true;
  const std::vector<double> attended = Scores(*engine, sticky);
  ASSERT_OK_AND_ASSIGN(const Answer next, engine->Generate(For("t"), fresh, Tokens(1), nullptr));
  ASSERT_OK_AND_ASSIGN(const PromptPlan alone,
                       PlanPrompt(model_.language(), "t", Ask(kQuestion), 1));
  EXPECT_LE(next.usage.cached_prompt_tokens, static_cast<int>(alone.history.size()));
  EXPECT_NE(Scores(*engine, fresh), attended);
  EXPECT_EQ(Scores(*engine, sticky), attended);
  // Without a history there is nothing that could have attended.
  Prompt short_one = WithMemories(Ask(kQuestion), MemoryPlace::kInjected, 1.0);
  const std::vector<double> scores = Scores(*engine, short_one);
  short_one.history_attends = true;
  EXPECT_EQ(Scores(*engine, short_one), scores);
}

TEST_F(EngineTest, OtherLawsNeedOneWeight) {
  const auto engine = model_.MakeEngine();
  Prompt prompt = WithMemories(Ask(kQuestion), MemoryPlace::kInjected, 0.5);
  const std::vector<double> bias = Scores(*engine, prompt);
  prompt.rule.law = model::AttentionLaw::kBlend;
  EXPECT_NE(Scores(*engine, prompt), bias);
  prompt.memories[1].alpha_answer = 0.25;
  EXPECT_THAT(engine->Score(For("t"), prompt, kContinuation),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("law")));
  Prompt strong = WithMemories(Ask(kQuestion), MemoryPlace::kInjected, 2.0);
  strong.rule.law = model::AttentionLaw::kBlend;
  EXPECT_THAT(engine->Score(For("t"), strong, kContinuation),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("from 0 to 1")));
  strong.rule = {.first_layer = 3, .end_layer = 3};
  EXPECT_THAT(engine->Score(For("t"), strong, kContinuation),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("layers")));
}

TEST_F(EngineTest, AlphaOneIsThePromptedModel) {
  const auto engine = model_.MakeEngine();
  const Prompt injected = WithMemories(Ask(kQuestion), MemoryPlace::kInjected, 1.0);
  const Prompt late = WithMemories(Ask(kQuestion), MemoryPlace::kPromptLate, 1.0);
  const std::vector<double> a = Scores(*engine, injected);
  const std::vector<double> b = Scores(*engine, late);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-3) << i;
  EXPECT_NE(a, Scores(*engine, Ask(kQuestion)));

  ASSERT_OK_AND_ASSIGN(const Answer x, engine->Generate(For("x"), injected, Varied(24), nullptr));
  ASSERT_OK_AND_ASSIGN(const Answer y, engine->Generate(For("y"), late, Varied(24), nullptr));
  EXPECT_EQ(x.token_ids, y.token_ids);
  EXPECT_EQ(x.usage.prompt_tokens + x.usage.injected_tokens, y.usage.prompt_tokens);
}

TEST_F(EngineTest, TheWeightForReadingEndsWhereTheAnswerBegins) {
  const auto engine = model_.MakeEngine();
  Prompt prompt = WithMemories(Ask(kQuestion), MemoryPlace::kInjected, 1.0);
  const std::vector<double> same = Scores(*engine, prompt);
  for (Memory& memory : prompt.memories) memory.alpha_answer = 4.0;
  const std::vector<double> schedule = Scores(*engine, prompt);
  EXPECT_EQ(schedule[0], same[0]);  // produced by the turn's last row
  EXPECT_NE(schedule[1], same[1]);
}

TEST_F(EngineTest, NeighboursChunksAndTheCacheDoNotChangeAnAnswer) {
  Prompt prompt = WithMemories(WithHistory(Ask(kQuestion)), MemoryPlace::kInjected, 2.0);
  const AnswerOptions options = Varied(24);
  ASSERT_OK_AND_ASSIGN(const Answer alone,
                       model_.MakeEngine()->Generate(For("t"), prompt, options, nullptr));
  EXPECT_EQ(alone.usage.cached_prompt_tokens, 0);

  const auto engine = model_.MakeEngine({.prefill_chunk = 5, .stats_listener = nullptr});
  constexpr int kNeighbours = 5;
  std::latch running(kNeighbours);
  std::atomic<bool> done = false;
  std::vector<std::thread> neighbours;
  for (int i = 0; i < kNeighbours; ++i) {
    neighbours.emplace_back([&, i] {
      Prompt other = Ask("Neighbour " + std::to_string(i) + " asks something else.");
      if (i % 2 == 0) other = WithMemories(other, MemoryPlace::kInjected, 1.0);
      RequestContext context = For("other");
      context.cancelled = [&] { return done.load(); };
      EXPECT_OK(engine->Generate(context, other, Tokens(1), nullptr));
      running.count_down();
      const AnswerOptions theirs = i % 2 == 0 ? Tokens(64) : Varied(64);
      while (!done) EXPECT_OK(engine->Generate(context, other, theirs, nullptr));
    });
  }
  running.wait();
  const auto crowded = engine->Generate(For("t"), prompt, options, nullptr);
  const auto again = engine->Generate(For("t"), prompt, options, nullptr);
  done = true;
  for (std::thread& neighbour : neighbours) neighbour.join();
  ASSERT_OK(crowded);
  ASSERT_OK(again);
  EXPECT_EQ(crowded->token_ids, alone.token_ids);
  EXPECT_EQ(again->token_ids, alone.token_ids);
  EXPECT_GT(again->usage.cached_prompt_tokens, 0);
  ASSERT_EQ(crowded->memories.size(), alone.memories.size());
  for (size_t i = 0; i < alone.memories.size(); ++i) {
    EXPECT_EQ(crowded->memories[i].attention_share, alone.memories[i].attention_share);
  }
}

TEST_F(EngineTest, ACachedPrefixGivesTheSameBytes) {
  const Prompt prompt = WithHistory(Ask(kQuestion));
  const auto engine = model_.MakeEngine();
  const std::vector<double> cold = Scores(*engine, prompt);
  const std::vector<double> warm = Scores(*engine, prompt);
  EXPECT_EQ(cold, warm);
  EXPECT_GT(engine->stats().cached_tokens, 0);
  // Another tenant finds nothing.
  ASSERT_OK_AND_ASSIGN(const Answer other,
                       engine->Generate(For("other"), prompt, Tokens(1), nullptr));
  EXPECT_EQ(other.usage.cached_prompt_tokens, 0);
}

TEST_F(EngineTest, ContextsThatAreDroppedLeaveNothingNotEvenOfWhatIsBeingAnswered) {
  const auto engine = model_.MakeEngine();
  const Prompt prompt = WithHistory(Ask(kQuestion));
  const auto cached = [&](const std::string& tenant) {
    const auto answer = engine->Generate(For(tenant), prompt, Tokens(1), nullptr);
    EXPECT_OK(answer);
    return answer.ok() ? answer->usage.cached_prompt_tokens : -1;
  };
  EXPECT_EQ(cached("t"), 0);
  EXPECT_EQ(cached("u"), 0);
  engine->WaitUntilIdle();
  EXPECT_GT(engine->DropContexts("t"), 0);
  EXPECT_EQ(engine->DropContexts("t"), 0);
  EXPECT_EQ(cached("t"), 0);
  EXPECT_GT(cached("u"), 0);

  struct Drops : AnswerSink {
    bool OnStarted(const Started&) override {
      engine->DropContexts("t");
      return true;
    }
    bool OnText(std::string_view) override { return true; }
    Engine* engine = nullptr;
  } sink;
  sink.engine = engine.get();
  ASSERT_OK(engine->Generate(For("t"), prompt, Varied(40), &sink));
  engine->WaitUntilIdle();
  EXPECT_EQ(cached("t"), 0);
}

TEST_F(EngineTest, PromptedMemoryTextIsNeverCached) {
  const auto engine = model_.MakeEngine();
  for (const MemoryPlace place :
       {MemoryPlace::kPromptLate, MemoryPlace::kPromptSystem, MemoryPlace::kPromptUser}) {
    const Prompt prompt = WithMemories(WithHistory(Ask(kQuestion)), place, 1.0);
    ASSERT_OK_AND_ASSIGN(const PromptPlan plan, PlanPrompt(model_.language(), "t", prompt, 4));
    const std::string tenant = std::to_string(static_cast<int>(place));
    ASSERT_OK(engine->Generate(For(tenant), prompt, Tokens(4), nullptr));
    ASSERT_OK_AND_ASSIGN(const Answer again,
                         engine->Generate(For(tenant), prompt, Tokens(4), nullptr));
    EXPECT_EQ(again.usage.cached_prompt_tokens, plan.memory_free);
  }
}

TEST_F(EngineTest, AfterAnInjectedAnswerTheConversationIsEncodedAgainWithoutMemory) {
  const auto engine = model_.MakeEngine();
  Prompt prompt = WithMemories(WithHistory(Ask(kQuestion)), MemoryPlace::kInjected, 2.0);
  ASSERT_OK_AND_ASSIGN(const Answer first, engine->Generate(For("t"), prompt, Varied(12), nullptr));
  engine->WaitUntilIdle();
  EXPECT_GT(engine->stats().background_tokens, 0);

  Prompt next = prompt;
  next.history.push_back(prompt.turn);
  next.history.push_back({"assistant", first.text});
  next.turn.content = "And where does Mary live?";
  ASSERT_OK_AND_ASSIGN(const PromptPlan plan, PlanPrompt(model_.language(), "t", next, 12));
  ASSERT_OK_AND_ASSIGN(const Answer second, engine->Generate(For("t"), next, Varied(12), nullptr));
  EXPECT_EQ(second.usage.cached_prompt_tokens, static_cast<int>(plan.history.size()));
  ASSERT_OK_AND_ASSIGN(const Answer fresh,
                       model_.MakeEngine()->Generate(For("t"), next, Varied(12), nullptr));
  EXPECT_EQ(second.token_ids, fresh.token_ids);
}

TEST_F(EngineTest, CancellationStopsWithinATokenAndFreesThePlace) {
  const auto engine = model_.MakeEngine({.max_running = 1, .stats_listener = nullptr});
  RequestContext context = For("t");
  int asked = 0;
  context.cancelled = [&] { return ++asked > 4; };  // asked before each step
  ASSERT_OK_AND_ASSIGN(const Answer answer,
                       engine->Generate(context, Ask(kQuestion), Varied(200), nullptr));
  EXPECT_EQ(answer.finish_reason, "cancelled");
  EXPECT_LE(answer.token_ids.size(), 4u);
  EXPECT_EQ(asked, 5);
  EXPECT_OK(engine->Generate(For("t"), Ask(kQuestion), Tokens(2), nullptr));
  EXPECT_EQ(engine->stats().cancelled, 1);
}

TEST_F(EngineTest, AReaderThatLeavesCancels) {
  class Leaves : public AnswerSink {
   public:
    bool OnStarted(const Started&) override { return false; }
    bool OnText(std::string_view) override {
      ADD_FAILURE() << "told to stop";
      return false;
    }
  } sink;
  const auto engine = model_.MakeEngine();
  ASSERT_OK_AND_ASSIGN(const Answer answer,
                       engine->Generate(For("t"), Ask(kQuestion), Tokens(400), &sink));
  EXPECT_THAT(answer.finish_reason, ::testing::AnyOf("cancelled", "stop"));
}

TEST_F(EngineTest, APassedDeadlineEndsTheRequest) {
  const auto engine = model_.MakeEngine();
  RequestContext context = For("t");
  context.deadline = std::chrono::system_clock::now() - std::chrono::seconds(1);
  EXPECT_THAT(engine->Generate(context, Ask(kQuestion), Tokens(2), nullptr),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(EngineTest, TheSeedDecides) {
  const auto engine = model_.MakeEngine();
  const auto tokens = [&](uint64_t seed) {
    const auto answer = engine->Generate(For("t"), Ask(kQuestion), Varied(24, seed), nullptr);
    EXPECT_OK(answer);
    return answer.ok() ? answer->token_ids : std::vector<int32_t>();
  };
  EXPECT_EQ(tokens(1), tokens(1));
  EXPECT_NE(tokens(1), tokens(2));
}

TEST_F(EngineTest, WithoutKvTheAnswerIsVanillaAndSaysSo) {
  class Away : public PackSource {
   public:
    absl::StatusOr<std::vector<LoadedBlock>> Load(const PackRequest&,
                                                  const injection::PackPlan&) override {
      return Unavailable("connection refused");
    }
  } away;
  const auto engine = model_.MakeEngine({}, &away);
  Prompt prompt = WithMemories(Ask(kQuestion), MemoryPlace::kInjected, 1.0);
  ASSERT_OK_AND_ASSIGN(const Answer answer, engine->Generate(For("t"), prompt, Varied(8), nullptr));
  EXPECT_THAT(answer.degraded, ElementsAre("kv"));
  EXPECT_EQ(answer.usage.injected_tokens, 0);
  ASSERT_OK_AND_ASSIGN(const Answer vanilla,
                       engine->Generate(For("t"), Ask(kQuestion), Varied(8), nullptr));
  EXPECT_EQ(answer.token_ids, vanilla.token_ids);
  EXPECT_THAT(vanilla.degraded, IsEmpty());
  EXPECT_EQ(engine->stats().degraded, 1);

  prompt.memory_required = true;
  EXPECT_THAT(engine->Generate(For("t"), prompt, Tokens(8), nullptr),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("connection refused")));
}

TEST_F(EngineTest, SharesOfAttentionFollowTheWeight) {
  const auto engine = model_.MakeEngine();
  const auto shares = [&](double alpha, int max_tokens) {
    const auto answer =
        engine->Generate(For("t"), WithMemories(Ask(kQuestion), MemoryPlace::kInjected, alpha),
                         Tokens(max_tokens), nullptr);
    EXPECT_OK(answer);
    double sum = answer->lead_in_share;
    for (const MemoryOutcome& memory : answer->memories) {
      EXPECT_GT(memory.attention_share, 0.0);
      EXPECT_GT(memory.n_tokens, 0);
      EXPECT_EQ(memory.tier, Tier::kRecomputed);
      sum += memory.attention_share;
    }
    EXPECT_GT(sum, 0.0);
    EXPECT_LT(sum, 1.0);
    return sum;
  };
  // A single token too: it was produced by the turn's last row.
  EXPECT_LT(shares(0.5, 1), shares(4.0, 1));
  EXPECT_LT(shares(0.5, 16), shares(4.0, 16));
}

// Text arrives once, in whole characters, and is the answer's text.
TEST_F(EngineTest, AProbeTellsHowTheMessageAttends) {
  std::vector<injection::AttentionHead> all;
  const model::ModelConfig& config = *model_.language().config;
  for (int layer = 0; layer < config.n_layers; ++layer) {
    for (int head = 0; head < config.n_heads; ++head) all.push_back({layer, head});
  }
  const Prompt prompt =
      WithMemories(WithHistory(Ask(kQuestion)), MemoryPlace::kInjected, /*alpha=*/0.25);
  const auto engine = model_.MakeEngine();
  ASSERT_OK_AND_ASSIGN(const ProbeResult probe, engine->Probe(For("t"), prompt, all));
  ASSERT_EQ(probe.memories.size(), 3u);
  for (const ProbedMemory& memory : probe.memories) {
    EXPECT_GT(memory.outcome.attention_share, 0.0);
    // At weight 1, whatever the prompt says.
    EXPECT_DOUBLE_EQ(memory.outcome.attention_share, memory.outcome.attention_share_unbiased);
    double sum = 0.0;
    for (const double share : memory.head_shares) sum += share;
    EXPECT_NEAR(sum / static_cast<double>(all.size()), memory.outcome.attention_share, 1e-9);
  }

  // The same shares in small pieces, behind a cached prefix; and the probe leaves that behind.
  Engine::Options small;
  small.prefill_chunk = 3;
  const auto other = model_.MakeEngine(small);
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK_AND_ASSIGN(const ProbeResult again, other->Probe(For("t"), prompt, all));
    EXPECT_EQ(again.usage.cached_prompt_tokens > 0, i == 1);
    for (size_t m = 0; m < 3; ++m) {
      EXPECT_EQ(again.memories[m].head_shares, probe.memories[m].head_shares);
    }
  }
  ASSERT_OK_AND_ASSIGN(const ProbeResult none, engine->Probe(For("t"), Ask(kQuestion), all));
  EXPECT_THAT(none.memories, IsEmpty());
  EXPECT_THAT(engine->Probe(For("t"), prompt, {{{0, config.n_heads}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("heads[0].head")));
}

TEST_F(EngineTest, WhatIsStreamedIsTheAnswer) {
  class Collects : public AnswerSink {
   public:
    bool OnStarted(const Started& started) override {
      EXPECT_EQ(text, "");
      EXPECT_GT(started.usage.prompt_tokens, 0);
      ++n_started;
      return true;
    }
    bool OnText(std::string_view piece) override {
      EXPECT_TRUE(IsValidUtf8(piece));
      text += piece;
      return true;
    }
    std::string text;
    int n_started = 0;
  } sink;
  ASSERT_OK_AND_ASSIGN(const Answer answer,
                       model_.MakeEngine()->Generate(For("t"), Ask(kQuestion), Varied(64), &sink));
  EXPECT_EQ(sink.n_started, 1);
  EXPECT_EQ(sink.text, answer.text);
}

TEST_F(EngineTest, BadInputIsRefusedByField) {
  const auto engine = model_.MakeEngine();
  const auto refused = [&](const Prompt& prompt, const AnswerOptions& options, const char* field) {
    EXPECT_THAT(engine->Generate(For("t"), prompt, options, nullptr),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field)));
  };
  const Prompt good = WithMemories(WithHistory(Ask(kQuestion)), MemoryPlace::kInjected, 1.0);
  const AnswerOptions options = Tokens(2);
  const auto with = [&](auto change) {
    Prompt prompt = good;
    change(prompt);
    return prompt;
  };
  refused(with([](Prompt& p) { p.turn.content = ""; }), options, "prompt.turn.content");
  refused(with([](Prompt& p) { p.turn.content = "a\xFF"; }), options, "prompt.turn.content");
  refused(with([](Prompt& p) { p.turn.content = std::string("a\0b", 3); }), options, "NUL");
  refused(with([](Prompt& p) { p.turn.role = "assistant"; }), options, "prompt.turn.role");
  refused(with([](Prompt& p) { p.history[1].role = "robot"; }), options, "prompt.history[1].role");
  refused(with([](Prompt& p) { p.memories[1].alpha_read = -1; }), options,
          "prompt.injection.memories[1].alpha_read");
  refused(with([](Prompt& p) { p.memories[0].alpha_answer = 0.0 / 0.0; }), options, "alpha_answer");
  refused(with([](Prompt& p) { p.memories[0].alpha_answer = 16.5; }), options, "16");
  refused(with([](Prompt& p) { p.memories[2].text = " \n"; }), options, "memories[2].text");
  refused(with([](Prompt& p) { p.memories[2].text.assign(9000, 'x'); }), options, "8192");
  refused(with([](Prompt& p) { p.max_pack_tokens = -1; }), options, "max_pack_tokens");
  refused(good, Tokens(0), "sampling.max_tokens");
  AnswerOptions bad = options;
  bad.sampling.temperature = 0.0f / 0.0f;
  refused(good, bad, "sampling.temperature");
  bad = options;
  bad.stop = {"ok", ""};
  refused(good, bad, "sampling.stop[1]");
  bad.stop.assign(17, "x");
  refused(good, bad, "sampling.stop");
  EXPECT_THAT(engine->Score(For("t"), good, ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("continuation")));
  EXPECT_THAT(
      engine->Generate(For("t"), with([](Prompt& p) { p.turn.content.assign(200'000, 'x'); }),
                       options, nullptr),
      StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("window")));
}

}  // namespace
}  // namespace dki::engine
