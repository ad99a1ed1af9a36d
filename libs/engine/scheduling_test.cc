// SPDX-License-Identifier: Apache-2.0
// Many requests at once: the budget of K/V, preemption, fair shares, the queue.
#include <gmock/gmock.h>

#include <atomic>
#include <latch>
#include <set>
#include <thread>

#include "libs/engine/engine.h"
#include "libs/engine/test_engine.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"

namespace dki::engine {
namespace {

using dki::testing::StatusIs;
using ::testing::HasSubstr;

AnswerOptions Varied(int max_tokens, uint64_t seed) {
  AnswerOptions options = Tokens(max_tokens);
  options.sampling.temperature = 3.0f;
  options.sampling.seed = seed;
  return options;
}

class SchedulingTest : public ::testing::Test {
 protected:
  SchedulingTest() : model_(testing::WriteTinyModel(folder_.path())) {}

  int64_t PageBytes() const {
    const model::ModelConfig& config = *model_.language().config;
    return static_cast<int64_t>(model::KvShape{config.n_layers, config.n_kv_heads, config.head_dim}
                                    .bytes_per_token()) *
           model::kPageTokens;
  }

  testing::TempDir folder_;
  TestModel model_;
};

// Holds the engine's thread from its next look at this request on, until it is let go.
class Gate {
 public:
  explicit Gate(RequestContext* context) {
    context->cancelled = [this] {
      if (first_.exchange(false)) {
        reached_.count_down();
        open_.wait();
      }
      return false;
    };
  }
  void AwaitReached() { reached_.wait(); }
  void Open() { open_.count_down(); }

 private:
  std::latch reached_{1}, open_{1};
  std::atomic<bool> first_ = true;
};

// Prompts of all kinds, whose answers together outgrow a small budget many times.
TEST_F(SchedulingTest, APreemptedAnswerHasTheSameBytes) {
  std::vector<Prompt> prompts;
  for (int i = 0; i < 6; ++i) {
    Prompt prompt = Ask("Question " + std::to_string(i) + ": what is Jack's job?");
    if (i % 2 == 0) prompt = WithHistory(prompt);
    if (i % 3 == 0) prompt = WithMemories(prompt, MemoryPlace::kInjected, 1.5);
    for (Memory& memory : prompt.memories) memory.alpha_answer = 3.0;
    prompts.push_back(prompt);
  }
  const std::string continuation(150, 'x');
  const auto roomy = model_.MakeEngine();
  std::vector<Answer> want;
  for (size_t i = 0; i < prompts.size(); ++i) {
    ASSERT_OK_AND_ASSIGN(Answer answer,
                         roomy->Generate(For("t"), prompts[i], Varied(300, i), nullptr));
    want.push_back(std::move(answer));
  }
  ASSERT_OK_AND_ASSIGN(const ScoreResult want_scores,
                       roomy->Score(For("t"), prompts[0], continuation));

  Engine::Options options{.max_running = 7, .prefill_chunk = 48, .stats_listener = nullptr};
  options.kv_cache_bytes = 13 * PageBytes();
  options.prefix_cache_bytes = 4 * PageBytes();
  std::atomic<int64_t> most = 0;
  options.stats_listener = [&](const EngineStats& stats) {
    most = std::max(most.load(), stats.kv_reserved_bytes);
  };
  const auto tight = model_.MakeEngine(options);
  std::vector<absl::StatusOr<Answer>> got(prompts.size(), Unavailable("not run"));
  std::vector<std::thread> clients;
  std::optional<Gate> gate;
  for (size_t i = 0; i < prompts.size(); ++i) {
    RequestContext context = For(i < 4 ? "a" : "b");
    if (i == 0) gate.emplace(&context);
    clients.emplace_back([&, context, i] {
      got[i] = tight->Generate(context, prompts[i], Varied(300, i), nullptr);
    });
    if (i == 0) gate->AwaitReached();
    while (tight->stats().waiting < static_cast<int>(i)) std::this_thread::yield();
  }
  absl::StatusOr<ScoreResult> scores = Unavailable("not run");
  clients.emplace_back([&] { scores = tight->Score(For("c"), prompts[0], continuation); });
  while (tight->stats().waiting < 6) std::this_thread::yield();
  gate->Open();
  for (std::thread& client : clients) client.join();
  ASSERT_OK(scores);
  EXPECT_EQ(scores->log_probabilities, want_scores.log_probabilities);
  for (size_t i = 0; i < prompts.size(); ++i) {
    ASSERT_OK(got[i]);
    EXPECT_EQ(got[i]->token_ids, want[i].token_ids) << i;
    EXPECT_EQ(got[i]->lead_in_share, want[i].lead_in_share) << i;
    for (size_t m = 0; m < want[i].memories.size(); ++m) {
      EXPECT_EQ(got[i]->memories[m].attention_share, want[i].memories[m].attention_share);
    }
  }
  size_t n_tokens = 0;
  std::set<int32_t> different;
  for (const Answer& answer : want) {
    n_tokens += answer.token_ids.size();
    different.insert(answer.token_ids.begin(), answer.token_ids.end());
  }
  EXPECT_GT(n_tokens, 6 * 150u);  // or the budget is not tight
  EXPECT_GT(different.size(), 50u);
  EXPECT_GT(tight->stats().preempted, 0);
  EXPECT_LE(most, options.kv_cache_bytes);
  tight->WaitUntilIdle();
  EXPECT_EQ(tight->stats().kv_bytes, tight->stats().prefix_cache_bytes);  // all else is free
}

TEST_F(SchedulingTest, WhatCouldNotRunAloneIsRefused) {
  Engine::Options options{.stats_listener = nullptr};
  options.kv_cache_bytes = 6 * PageBytes();
  const auto engine = model_.MakeEngine(options);
  EXPECT_OK(engine->Generate(For("t"), Ask("What?"), Tokens(16), nullptr));
  EXPECT_THAT(engine->Generate(For("t"), Ask(std::string(600, 'x')), Tokens(300), nullptr),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("kv_cache_bytes")));
  // Without its memories it could.
  ASSERT_OK_AND_ASSIGN(
      const Answer answer,
      engine->Generate(For("t"), WithMemories(Ask("What?"), MemoryPlace::kInjected, 1.0),
                       Tokens(100), nullptr));
  EXPECT_THAT(answer.degraded, ::testing::ElementsAre("kv_cache_bytes"));
}

TEST_F(SchedulingTest, CancellationFreesThePagesAtOnce) {
  Engine::Options options{.stats_listener = nullptr};
  options.prefix_cache_bytes = 0;
  std::atomic<int64_t> pages_after = -1;
  std::atomic<bool> cancelled = false;
  options.stats_listener = [&](const EngineStats& stats) {
    if (cancelled && pages_after < 0) pages_after = stats.kv_bytes;
  };
  const auto engine = model_.MakeEngine(options);
  RequestContext context = For("t");
  int asked = 0;
  context.cancelled = [&] {
    cancelled = ++asked > 3;
    return cancelled.load();
  };
  ASSERT_OK(engine->Generate(context, Ask("What is Jack's job?"), Varied(300, 1), nullptr));
  engine->WaitUntilIdle();
  EXPECT_EQ(pages_after, 0);  // in the step that noticed
}

TEST_F(SchedulingTest, ADeadlineIsHonouredInTheQueue) {
  const auto engine = model_.MakeEngine({.max_running = 1, .stats_listener = nullptr});
  RequestContext blocking = For("t");
  Gate gate(&blocking);
  std::thread running(
      [&] { EXPECT_OK(engine->Generate(blocking, Ask("What?"), Varied(100, 1), nullptr)); });
  gate.AwaitReached();
  RequestContext late = For("t");
  late.deadline = std::chrono::system_clock::now();
  std::thread waiting([&] {
    EXPECT_THAT(engine->Generate(late, Ask("What?"), Tokens(2), nullptr),
                StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("after 0 tokens")));
  });
  while (engine->stats().waiting == 0) std::this_thread::yield();
  gate.Open();
  waiting.join();
  running.join();
}

TEST_F(SchedulingTest, WhoWouldComeTooLateIsSentAwayAtOnce) {
  const auto engine = model_.MakeEngine({.max_running = 1, .stats_listener = nullptr});
  RequestContext blocking = For("t");
  Gate gate(&blocking);
  std::vector<std::thread> clients;
  clients.emplace_back(
      [&] { EXPECT_OK(engine->Generate(blocking, Ask("What?"), Tokens(2), nullptr)); });
  gate.AwaitReached();
  for (int i = 1; i <= 20; ++i) {
    clients.emplace_back(
        [&] { EXPECT_OK(engine->Generate(For("t"), Ask("What?"), Tokens(2), nullptr)); });
    while (engine->stats().waiting < i) std::this_thread::yield();
  }
  // Before any request has ended, one is thought to take a second.
  RequestContext hasty = For("t");
  hasty.deadline = std::chrono::system_clock::now() + std::chrono::seconds(5);
  EXPECT_THAT(engine->Generate(hasty, Ask("What?"), Tokens(2), nullptr),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("deadline")));
  // Another tenant does not wait for all of these.
  RequestContext other = hasty;
  other.tenant_id = "u";
  other.deadline += std::chrono::minutes(5);
  clients.emplace_back(
      [&] { EXPECT_OK(engine->Generate(other, Ask("What?"), Tokens(2), nullptr)); });
  while (engine->stats().waiting < 21) std::this_thread::yield();
  gate.Open();
  for (std::thread& client : clients) client.join();
}

// One place, a tenant with many requests before another one with two.
TEST_F(SchedulingTest, TenantsTakeTurns) {
  const auto engine = model_.MakeEngine({.max_running = 1, .stats_listener = nullptr});
  RequestContext blocking = For("greedy");
  Gate gate(&blocking);
  // The engine's thread asks each request between steps whether it is still wanted; who is asked
  // for the last time first is done first.
  int64_t clock = 0;
  std::vector<int64_t> done(8, 0);
  std::vector<std::thread> clients;
  clients.emplace_back(
      [&] { EXPECT_OK(engine->Generate(blocking, Ask("What?"), Tokens(4), nullptr)); });
  gate.AwaitReached();
  for (int i = 0; i < 8; ++i) {
    RequestContext context = For(i < 6 ? "greedy" : "modest");
    context.cancelled = [&, i] {
      done[i] = ++clock;
      return false;
    };
    clients.emplace_back(
        [&, context] { EXPECT_OK(engine->Generate(context, Ask("What?"), Tokens(4), nullptr)); });
    while (engine->stats().waiting < i + 1) std::this_thread::yield();
  }
  gate.Open();
  for (std::thread& client : clients) client.join();
  EXPECT_LT(done[6], done[0]);
  EXPECT_LT(done[7], done[1]);
}

TEST_F(SchedulingTest, AFullQueueIsSharedOut) {
  const auto engine =
      model_.MakeEngine({.max_running = 1, .max_waiting = 3, .stats_listener = nullptr});
  RequestContext blocking = For("greedy");
  Gate gate(&blocking);
  std::atomic<int> greedy_refused = 0, greedy_answered = 0;
  std::vector<std::thread> clients;
  const auto greedy = [&](const RequestContext& context) {
    clients.emplace_back([&, context] {
      const auto answer = engine->Generate(context, Ask("What?"), Tokens(2), nullptr);
      if (absl::IsResourceExhausted(answer.status())) ++greedy_refused;
      if (answer.ok()) ++greedy_answered;
    });
  };
  greedy(blocking);
  gate.AwaitReached();
  for (int i = 0; i < 3; ++i) greedy(For("greedy"));
  while (engine->stats().waiting < 3) std::this_thread::yield();
  EXPECT_THAT(engine->Generate(For("greedy"), Ask("What?"), Tokens(2), nullptr),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("max_waiting")));
  clients.emplace_back(
      [&] { EXPECT_OK(engine->Generate(For("modest"), Ask("What?"), Tokens(2), nullptr)); });
  while (engine->stats().waiting < 4) std::this_thread::yield();
  gate.Open();
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(greedy_answered, 3);
  EXPECT_EQ(greedy_refused, 1);
  EXPECT_EQ(engine->stats().rejected, 2);
}

TEST_F(SchedulingTest, MemoriesOfWaitingRequestsAreBounded) {
  Engine::Options options{.max_running = 1, .stats_listener = nullptr};
  options.max_waiting_bytes = 100;
  const auto engine = model_.MakeEngine(options);
  EXPECT_THAT(engine->Generate(For("t"), WithMemories(Ask("What?"), MemoryPlace::kInjected, 1.0),
                               Tokens(2), nullptr),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("max_waiting_bytes")));
  EXPECT_OK(engine->Generate(For("t"), Ask("What?"), Tokens(2), nullptr));
}

// A long prompt that arrives beside an answer being written takes many steps, each with a row of
// the answer; alone it takes few.
TEST_F(SchedulingTest, AnswersGoOnWhileAPromptIsRead) {
  Engine::Options options{.prefill_chunk = 512, .decode_slowdown = 1.1, .stats_listener = nullptr};
  std::atomic<int64_t> steps_with_both = 0;
  EngineStats last;
  options.stats_listener = [&](const EngineStats& stats) {
    if (stats.prefill_tokens > last.prefill_tokens && stats.decode_tokens > last.decode_tokens)
      ++steps_with_both;
    last = stats;
  };
  const auto engine = model_.MakeEngine(options);
  std::latch writing(1), prompt_waits(1);
  std::atomic<bool> done = false;
  RequestContext context = For("t");
  context.cancelled = [&, asked = 0]() mutable {  // on the engine's thread, before each step
    if (++asked == 4) {
      writing.count_down();
      prompt_waits.wait();
    }
    return done.load();
  };
  std::thread answer([&] {  // greedy: the tiny model goes on and on
    EXPECT_OK(engine->Generate(context, Ask("What?"), Tokens(2000), nullptr));
  });
  writing.wait();
  std::thread prompt([&] {
    EXPECT_OK(engine->Generate(For("u"), Ask(std::string(400, 'y')), Tokens(1), nullptr));
  });
  while (engine->stats().waiting == 0) std::this_thread::yield();
  prompt_waits.count_down();
  prompt.join();
  done = true;
  answer.join();
  EXPECT_GT(steps_with_both, 3);
}

TEST_F(SchedulingTest, AFullQueueRefuses) {
  const auto engine =
      model_.MakeEngine({.max_running = 1, .max_waiting = 1, .stats_listener = nullptr});
  // The engine asks before its first step; until the answer it does nothing else.
  std::latch asked(1), release(1);
  std::atomic<bool> first = true;
  RequestContext blocking = For("t");
  blocking.cancelled = [&] {
    if (first.exchange(false)) {
      asked.count_down();
      release.wait();
    }
    return false;
  };
  std::thread running(
      [&] { EXPECT_OK(engine->Generate(blocking, Ask("What?"), Tokens(2), nullptr)); });
  asked.wait();
  std::thread waiting(
      [&] { EXPECT_OK(engine->Generate(For("t"), Ask("What?"), Tokens(2), nullptr)); });
  while (engine->stats().waiting == 0) std::this_thread::yield();
  EXPECT_THAT(engine->Generate(For("t"), Ask("What?"), Tokens(2), nullptr),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("max_waiting")));
  EXPECT_GE(engine->RetryAfter().count(), 100);
  release.count_down();
  running.join();
  waiting.join();
  EXPECT_EQ(engine->stats().rejected, 1);
}

}  // namespace
}  // namespace dki::engine
