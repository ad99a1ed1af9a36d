// SPDX-License-Identifier: Apache-2.0
// Purpose: serves many requests with one model: continuous batching (each step runs a token of
//   every answer being written, and a piece of the prompts that wait to be read), streaming,
//   cancellation and deadlines within a token, back-pressure, the prefix cache, and `fresh`
//   history: after an answer, turn and answer are encoded without memory, as the next request will
//   render them, while nothing else runs, so that the conversation's next request finds them.
//
//   K/V has a budget. A request is admitted when what its prompt needs is free or can be freed from
//   the prefix cache; tenants take turns by what they have been served. Answers then grow page by
//   page; when nothing is left, the newest request of the tenant that holds most gives its K/V up,
//   waits, and computes it again later: its answer goes on with the same bytes (P11).
// Thread-safety: thread-safe. Generate and Score block their caller; one thread of the engine runs
//   the model. Ownership: what is passed to the constructor must outlive it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/base/status.h"
#include "libs/engine/fair_queue.h"
#include "libs/engine/pack_source.h"
#include "libs/engine/prefill_pacer.h"
#include "libs/engine/prefix_cache.h"
#include "libs/engine/prompt_plan.h"
#include "libs/engine/request.h"
#include "libs/engine/ticket.h"

namespace dki::engine {

// Totals since start, and what is going on now.
struct EngineStats {
  int running = 0;
  int waiting = 0;
  int background = 0;  // conversations to be encoded again
  int64_t requests = 0;
  int64_t rejected = 0;   // queue full
  int64_t preempted = 0;  // times that a running request gave its K/V up
  int64_t cancelled = 0;
  int64_t degraded = 0;        // answered without the memory asked for
  int64_t prefill_tokens = 0;  // prompt tokens computed
  int64_t cached_tokens = 0;   // prompt tokens found in the prefix cache
  int64_t decode_tokens = 0;   // rows of answers
  int64_t background_tokens = 0;
  double prefill_seconds = 0.0;    // of steps that read prompt tokens, whatever else was in them
  double decode_seconds = 0.0;     // of the others
  int64_t kv_bytes = 0;            // of all pages and of the running requests' memories
  int64_t kv_reserved_bytes = 0;   // the same, with what running requests will need at least
  int64_t prefix_cache_bytes = 0;  // of kv_bytes
  int prefix_cache_pages = 0;
};

class Engine {
 public:
  struct Options {
    int max_running = 8;      // requests that decode together
    int max_waiting = 64;     // requests that may wait; more get RESOURCE_EXHAUSTED
    int prefill_chunk = 256;  // prompt tokens that are read together
    // A prompt that is read may make the tokens of the answers beside it take this many times as
    // long. > 1.
    double decode_slowdown = 2.0;
    // K/V of running requests, their memories included, and the prefix cache.
    int64_t kv_cache_bytes = int64_t{1} << 30;
    int64_t prefix_cache_bytes = int64_t{512} << 20;  // of those, at most
    // K/V of memories that waiting requests may hold; more get RESOURCE_EXHAUSTED.
    int64_t max_waiting_bytes = int64_t{256} << 20;
    // The K/V of this system prompt is shared by all tenants. Empty: nothing is.
    std::string shared_system_prompt = {};
    // What memories' K/V is kept in where a prompt does not say.
    kernels::KvFormat block_format = kernels::KvFormat::kF32;
    // Called by the engine's thread after each step. Must be quick.
    std::function<void(const EngineStats&)> stats_listener;
  };

  // `packs` may be null: then memory as K/V cannot be had.
  Engine(Options options, model::Model* model, const model::Tokenizer* tokenizer,
         const model::ChatFormat* format, PackSource* packs);
  // Running requests end with UNAVAILABLE.
  ~Engine();
  Engine(const Engine&) = delete;

  // INVALID_ARGUMENT, OUT_OF_RANGE (does not fit the window, or kv_cache_bytes, even without
  // memory),
  // RESOURCE_EXHAUSTED (queue full, or too long for the deadline; RetryAfter says when to come
  // back), DEADLINE_EXCEEDED,
  // UNAVAILABLE (memory_required and its K/V cannot be had; shutting down). A cancelled answer is
  // an answer, with that finish reason. `sink` may be null.
  absl::StatusOr<Answer> Generate(const RequestContext& context, const Prompt& prompt,
                                  const AnswerOptions& options, AnswerSink* sink);
  // Probabilities of `continuation`, encoded by itself, behind the prompt and its answer prefix.
  absl::StatusOr<ScoreResult> Score(const RequestContext& context, const Prompt& prompt,
                                    const std::string& continuation,
                                    const ScoreOptions& options = {});

  // How the user's message of `prompt` attends to its memories, all of them at weight 1: a prefill
  // of that message alone, without an answer. Prefix and history stay in the prefix cache for the
  // request that follows. INVALID_ARGUMENT for a head that the model has not.
  absl::StatusOr<ProbeResult> Probe(const RequestContext& context, const Prompt& prompt,
                                    std::span<const injection::AttentionHead> heads);

  // Forgets the K/V of the tenant's conversations, because some of what they say was erased. What
  // is being answered goes on to its end and leaves nothing either. Returns the number of pages
  // that were held; waits for the step under way.
  int64_t DropContexts(const std::string& tenant_id);

  EngineStats stats() const;
  // A guess at when the queue will have room again.
  std::chrono::milliseconds RetryAfter() const;
  // No more encoding in the background; what is pending is left to the next requests.
  void StopBackground();
  // Returns when nothing runs, waits or is pending in the background.
  void WaitUntilIdle();

 private:
  using TicketPtr = std::shared_ptr<Ticket>;
  struct Conversation {
    std::string tenant_id;
    std::vector<int32_t> tokens;
  };

  // `input` has the prompt and what is wanted; the rest of it is filled in.
  absl::StatusOr<TicketPtr> Prepare(const RequestContext& context, SequenceInput input);
  // The pack's K/V, and that of the null notes where gates need them, into `input`. An error: it
  // cannot be had.
  absl::Status LoadPack(const RequestContext& context, const PromptPlan& plan,
                        SequenceInput* input);
  absl::Status Submit(const TicketPtr& ticket);
  // Whether a request of this tenant, whose memories hold so much, may wait.
  absl::Status CheckRoom(const RequestContext& context, int64_t memory_bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The null notes, as `pack` of the prompt is planned.
  injection::PackPlan PlanNulls(const RequestContext& context, const Prompt& prompt,
                                const injection::PackPlan& pack) const;
  // Bytes that `plan`, its memories and the null notes take at most.
  int64_t MostBytes(const PromptPlan& plan, const NullPack& nulls, int answer_tokens) const;

  // The engine's thread. engine_loop.cc:
  void Loop();
  bool AwaitWork();  // false: stop
  void DropAsked();
  void Sweep();
  void BackgroundStep();
  bool EndIfUnwanted(Ticket& ticket);
  void End(Ticket& ticket, absl::Status status);
  void PublishStats();
  // engine_room.cc:
  void Admit();
  bool StartIfItFits(const TicketPtr& ticket);
  int64_t CommittedBytes() const;
  bool FreeRoom(int64_t bytes);
  void MakeRoomToWrite();
  void Preempt(const TicketPtr& ticket);
  // engine_step.cc:
  struct Work {  // chunks for one pass, and whose they are
    std::vector<model::Chunk> chunks;
    std::vector<Ticket*> owners;
    int n_tokens = 0;
    std::unique_ptr<model::LayeredForward> pass;  // where it is run in parts

    // The ticket's next chunk, if there is one. Returns the prompt tokens in it, at most `budget`.
    int Add(Ticket* ticket, int budget);
  };
  void Step();
  std::vector<Ticket*> StepOrder(int* n_writing) const;
  absl::Status RunStep(int n_writing, Work* step);
  void ReadOn(int n_writing);
  void Absorb(const Work& work, std::span<const float> logits);
  // Its K/V is about to go.
  void StopReading(const Ticket& ticket);

  const Options options_;
  model::Model* const model_;
  const PromptLanguage language_;
  PackSource* const packs_;
  const int64_t page_bytes_;
  const std::shared_ptr<model::KvMeter> meter_;  // of all pages but the memories'

  // Of the engine's thread alone.
  PrefixCache cache_;
  PrefillPacer pacer_;
  std::vector<TicketPtr> running_;  // in the order of admission
  std::unique_ptr<Work> reading_;   // a piece of prompts, some layers done; or null

  mutable Mutex mutex_;
  CondVar changed_;
  // Anybody pushes, the engine's thread alone takes.
  FairQueue<TicketPtr> waiting_ ABSL_GUARDED_BY(mutex_);
  std::deque<Conversation> background_ ABSL_GUARDED_BY(mutex_);
  // Tenants whose contexts are to be dropped, each with the one who waits for it.
  std::vector<std::pair<std::string, std::promise<int64_t>>> drops_ ABSL_GUARDED_BY(mutex_);
  bool background_enabled_ ABSL_GUARDED_BY(mutex_) = true;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool idle_ ABSL_GUARDED_BY(mutex_) = true;
  EngineStats stats_ ABSL_GUARDED_BY(mutex_);
  double mean_request_seconds_ ABSL_GUARDED_BY(mutex_) = 1.0;
  std::thread thread_;
};

}  // namespace dki::engine
