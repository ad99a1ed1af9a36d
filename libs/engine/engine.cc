// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/engine.h"

#include <algorithm>

#include "libs/engine/validate.h"
#include "libs/injection/null_notes.h"

namespace dki::engine {
namespace {

int64_t MicrosecondsSince(Ticket::Clock::time_point from) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Ticket::Clock::now() - from).count();
}

// Hands events to the sink until the end.
absl::Status Deliver(Ticket& ticket, AnswerSink* sink) {
  while (true) {
    const Ticket::Events events = ticket.Take();
    if (sink != nullptr && !ticket.abandoned) {
      bool go_on = true;
      if (events.started) go_on = sink->OnStarted(*events.started);
      if (go_on && !events.text.empty()) go_on = sink->OnText(events.text);
      if (!go_on) ticket.abandoned = true;
    }
    if (events.ended) return ticket.status();
  }
}

// Replaces the memories' blocks by copies that the question has changed; others may share the K/V
// that came. The question is the turn without the beginning given to its answer.
void Modulate(const PromptLanguage& language, const model::Model& model, const Prompt& prompt,
              const PromptPlan& plan, std::vector<LoadedBlock>* blocks) {
  const size_t n_prefix = language.tokenizer->Encode(prompt.answer_prefix).size();
  const injection::Modulation::Question question = prompt.modulation->Read(
      model, std::span<const int32_t>(plan.turn).first(plan.turn.size() - n_prefix));
  for (size_t i = 0; i < blocks->size(); ++i) {
    const injection::PlannedBlock& planned = plan.pack->blocks[i];
    if (planned.kind != injection::BlockKind::kMemory) continue;
    model::KvBuffer& kv = (*blocks)[i].block.kv;
    kv = prompt.modulation->Apply(question, kv, planned.begin);
  }
}

int64_t PageBytes(const model::KvShape& shape) {
  model::KvPage page(shape, model::kPageTokens, nullptr);
  if (shape.codec.codes_any()) page.MakeCodes();
  return static_cast<int64_t>(page.size_bytes());
}

// Lead-in blocks are no memories.
absl::Status RefineBlocks(const Prompt& prompt, const PromptPlan& plan,
                          std::vector<LoadedBlock>* blocks) {
  if (prompt.refinement == nullptr) return absl::OkStatus();
  for (size_t b = 0; b < blocks->size(); ++b) {
    const injection::PlannedBlock& planned = plan.pack->blocks[b];
    if (planned.memory < 0) continue;
    model::KvBuffer& kv = (*blocks)[b].block.kv;
    DKI_ASSIGN_OR_RETURN(kv, model::RefineValues(*prompt.refinement, kv, planned.begin));
  }
  return absl::OkStatus();
}

}  // namespace

Engine::Engine(Options options, model::Model* model, const model::Tokenizer* tokenizer,
               const model::ChatFormat* format, PackSource* packs)
    : options_(std::move(options)),
      model_(model),
      language_{&model->config(), tokenizer, format, options_.block_format},
      packs_(packs),
      page_bytes_(PageBytes(model->kv_shape())),
      meter_(std::make_shared<model::KvMeter>(0)),
      cache_({.budget_bytes = std::min(options_.prefix_cache_bytes, options_.kv_cache_bytes),
              .shared_prefix = options_.shared_system_prompt.empty()
                                   ? std::vector<int32_t>()
                                   : format->RenderPrefix(options_.shared_system_prompt)}),
      pacer_({.max_tokens = options_.prefill_chunk, .slowdown = options_.decode_slowdown}) {
  thread_ = std::thread([this] { Loop(); });
}

Engine::~Engine() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

absl::StatusOr<Answer> Engine::Generate(const RequestContext& context, const Prompt& prompt,
                                        const AnswerOptions& options, AnswerSink* sink) {
  DKI_RETURN_IF_ERROR(ValidatePrompt(prompt));
  DKI_RETURN_IF_ERROR(ValidateAnswerOptions(options, language_.config->context_length));
  SequenceInput input;
  input.prompt = prompt;
  input.options = options;
  DKI_ASSIGN_OR_RETURN(const TicketPtr ticket, Prepare(context, std::move(input)));
  DKI_RETURN_IF_ERROR(Submit(ticket));
  DKI_RETURN_IF_ERROR(Deliver(*ticket, sink));
  Answer answer = ticket->sequence.TakeAnswer();
  answer.degraded = ticket->degraded;
  answer.timings = ticket->timings();
  return answer;
}

absl::StatusOr<ScoreResult> Engine::Score(const RequestContext& context, const Prompt& prompt,
                                          const std::string& continuation,
                                          const ScoreOptions& options) {
  DKI_RETURN_IF_ERROR(ValidatePrompt(prompt));
  DKI_RETURN_IF_ERROR(ValidateContinuation(continuation));
  SequenceInput input;
  input.prompt = prompt;
  input.continuation = language_.tokenizer->Encode(continuation);
  input.distributions = options.distributions;
  DKI_ASSIGN_OR_RETURN(const TicketPtr ticket, Prepare(context, std::move(input)));
  DKI_RETURN_IF_ERROR(Submit(ticket));
  DKI_RETURN_IF_ERROR(Deliver(*ticket, nullptr));
  if (ticket->sequence.finish_reason() == "cancelled") return Cancelled("the caller cancelled");
  ScoreResult scores = ticket->sequence.TakeScores();
  scores.degraded = ticket->degraded;
  return scores;
}

absl::StatusOr<ProbeResult> Engine::Probe(const RequestContext& context, const Prompt& prompt,
                                          std::span<const injection::AttentionHead> heads) {
  DKI_RETURN_IF_ERROR(ValidatePrompt(prompt));
  DKI_RETURN_IF_ERROR(ValidateHeads(heads, *language_.config));
  SequenceInput input;
  input.prompt = prompt;
  input.prompt.answer_prefix.clear();
  input.prompt.rule = {};
  input.prompt.modulation.reset();
  input.prompt.gates = {};
  for (Memory& memory : input.prompt.memories) memory.alpha_read = memory.alpha_answer = 1.0;
  input.options.max_tokens = 0;
  input.is_probe = true;
  DKI_ASSIGN_OR_RETURN(const TicketPtr ticket, Prepare(context, std::move(input)));
  if (ticket->sequence.input().plan.pack) {  // otherwise there is nothing to look at
    DKI_RETURN_IF_ERROR(Submit(ticket));
    DKI_RETURN_IF_ERROR(Deliver(*ticket, nullptr));
    if (ticket->sequence.finish_reason() == "cancelled") return Cancelled("the caller cancelled");
  }
  return ProbeResult{.memories = ticket->sequence.TakeProbe(heads),
                     .usage = ticket->sequence.usage(),
                     .degraded = ticket->degraded,
                     .timings = ticket->timings()};
}

absl::StatusOr<Engine::TicketPtr> Engine::Prepare(const RequestContext& context,
                                                  SequenceInput input) {
  const Ticket::Clock::time_point created = Ticket::Clock::now();
  {
    MutexLock lock(&mutex_);
    DKI_RETURN_IF_ERROR(CheckRoom(context, 0));
  }
  std::vector<std::string> degraded;
  Prompt& prompt = input.prompt;
  const int answer_tokens =
      input.continuation ? static_cast<int>(input.continuation->size()) : input.options.max_tokens;
  DKI_ASSIGN_OR_RETURN(PromptPlan plan,
                       PlanPrompt(language_, context.tenant_id, prompt, answer_tokens));
  if (AsksForGates(prompt, plan)) input.nulls.plan = PlanNulls(context, prompt, *plan.pack);
  if (plan.pack && MostBytes(plan, input.nulls, answer_tokens) > options_.kv_cache_bytes) {
    prompt.place = MemoryPlace::kNone;
    input.nulls = {};
    degraded.push_back("kv_cache_bytes");
    DKI_ASSIGN_OR_RETURN(plan, PlanPrompt(language_, context.tenant_id, prompt, answer_tokens));
  }
  if (const int64_t bytes = MostBytes(plan, input.nulls, answer_tokens);
      bytes > options_.kv_cache_bytes) {
    return OutOfRange(
        "prompt: %d tokens and an answer of %d take up to %d bytes of K/V, more than "
        "kv_cache_bytes "
        "of %d",
        plan.n_tokens(), answer_tokens, bytes, options_.kv_cache_bytes);
  }

  int64_t pack_us = 0;
  if (plan.pack) {
    const Ticket::Clock::time_point asked = Ticket::Clock::now();
    const absl::Status loaded = LoadPack(context, plan, &input);
    if (loaded.ok() && prompt.modulation != nullptr && !prompt.modulation->is_identity()) {
      Modulate(language_, *model_, prompt, plan, &input.blocks);
      input.modulated = true;
    }
    pack_us = MicrosecondsSince(asked);
    if (!loaded.ok()) {
      if (prompt.memory_required) {
        return Unavailable("memory is required, but its K/V cannot be had: %s", ToString(loaded));
      }
      degraded.push_back("kv");
      prompt.place = MemoryPlace::kNone;
      input.blocks.clear();
      input.nulls = {};
      DKI_ASSIGN_OR_RETURN(plan, PlanPrompt(language_, context.tenant_id, prompt, answer_tokens));
    }
  }
  if (!input.nulls.blocks.empty()) {
    DKI_ASSIGN_OR_RETURN(const auto message, language_.format->RenderMessage(prompt.turn));
    input.message_tokens = static_cast<int>(message.size());
  }
  DKI_RETURN_IF_ERROR(RefineBlocks(prompt, plan, &input.blocks));

  if (input.is_probe) {  // the message alone
    plan.turn.resize(plan.turn.size() - language_.format->RenderAnswerHeader().size());
  }
  input.tenant_id = context.tenant_id;
  input.plan = std::move(plan);
  auto ticket = std::make_shared<Ticket>(
      context, Sequence(std::move(input), language_, model_->kv_shape(), meter_));
  ticket->degraded = std::move(degraded);
  ticket->created = created;
  ticket->pack_us = pack_us;
  ticket->memory_bytes = ticket->sequence.memory_bytes();
  return ticket;
}

absl::Status Engine::LoadPack(const RequestContext& context, const PromptPlan& plan,
                              SequenceInput* input) {
  if (packs_ == nullptr) return Unavailable("this process has no source of packs");
  const Prompt& prompt = input->prompt;
  PackRequest request{.tenant_id = context.tenant_id,
                      .request_id = context.request_id,
                      .deadline = context.deadline,
                      .context_system_prompt =
                          SystemPromptOrDefault(*language_.format, prompt.context_system_prompt)};
  for (const int i : plan.kept) {
    const Memory& memory = prompt.memories[i];
    request.memories.push_back({memory.memory_id, memory.text, memory.attributes});
  }
  request.composition = prompt.composition;
  DKI_ASSIGN_OR_RETURN(input->blocks, packs_->Load(request, *plan.pack));
  if (input->nulls.plan.blocks.empty()) return absl::OkStatus();
  request.memories = injection::NullNotes();
  DKI_ASSIGN_OR_RETURN(input->nulls.blocks, packs_->Load(request, input->nulls.plan));
  return absl::OkStatus();
}

injection::PackPlan Engine::PlanNulls(const RequestContext& context, const Prompt& prompt,
                                      const injection::PackPlan& pack) const {
  return injection::PlanPack(*language_.format, context.tenant_id, language_.config->kv_fingerprint,
                             SystemPromptOrDefault(*language_.format, prompt.context_system_prompt),
                             injection::NullNotes(), pack.format, prompt.composition);
}

int64_t Engine::MostBytes(const PromptPlan& plan, const NullPack& nulls, int answer_tokens) const {
  size_t n_memory = 0;
  for (const injection::PlannedBlock& block : nulls.plan.blocks) n_memory += block.tokens.size();
  if (plan.pack) {
    for (const injection::PlannedBlock& block : plan.pack->blocks) n_memory += block.tokens.size();
  }
  return page_bytes_ * Sequence::MostPages(plan, answer_tokens) +
         static_cast<int64_t>(model_->kv_shape().bytes_per_token() * n_memory);
}

// A full queue is shared out: who waits for less than another tenant takes a place of that one's,
// which the engine's thread then sends away (Sweep).
absl::Status Engine::CheckRoom(const RequestContext& context, int64_t memory_bytes) {
  if (stopping_) return Unavailable("generation is shutting down");
  const int n_waiting = static_cast<int>(waiting_.size());
  const bool gives_way = n_waiting < 2 * options_.max_waiting &&
                         waiting_.Longest() > waiting_.WaitingOf(context.tenant_id) + 1;
  if (n_waiting >= options_.max_waiting && !gives_way) {
    ++stats_.rejected;
    return ResourceExhausted("%d requests are waiting, the limit of max_waiting", n_waiting);
  }
  // Work on an answer that will come too late is taken from others.
  const double seconds =
      mean_request_seconds_ * (1.0 + static_cast<double>(n_waiting) / options_.max_running);
  const auto expected = std::chrono::system_clock::now() +
                        std::chrono::milliseconds(static_cast<int64_t>(1000.0 * seconds));
  if (waiting_.WaitingOf(context.tenant_id) > 0 && expected > context.deadline) {
    ++stats_.rejected;
    return ResourceExhausted(
        "%d requests are waiting: the answer would take about %.1f s, longer than the deadline",
        n_waiting, seconds);
  }
  for (const TicketPtr& waiting : waiting_.All()) memory_bytes += waiting->memory_bytes;
  if (memory_bytes > options_.max_waiting_bytes) {
    ++stats_.rejected;
    return ResourceExhausted(
        "the memories of waiting requests would hold %d bytes of K/V, the limit of "
        "max_waiting_bytes is %d",
        memory_bytes, options_.max_waiting_bytes);
  }
  return absl::OkStatus();
}

absl::Status Engine::Submit(const TicketPtr& ticket) {
  MutexLock lock(&mutex_);
  DKI_RETURN_IF_ERROR(CheckRoom(ticket->context, ticket->memory_bytes));
  ++stats_.requests;
  if (!ticket->degraded.empty()) ++stats_.degraded;
  ticket->submitted = Ticket::Clock::now();
  waiting_.Push(ticket->context.tenant_id, ticket);
  idle_ = false;
  changed_.NotifyAll();
  return absl::OkStatus();
}

EngineStats Engine::stats() const {
  MutexLock lock(&mutex_);
  EngineStats stats = stats_;
  stats.waiting = static_cast<int>(waiting_.size());
  stats.background = static_cast<int>(background_.size());
  return stats;
}

std::chrono::milliseconds Engine::RetryAfter() const {
  MutexLock lock(&mutex_);
  const double rounds = static_cast<double>(waiting_.size()) / options_.max_running;
  const double seconds = std::clamp(mean_request_seconds_ * (1.0 + rounds) / 2.0, 0.1, 30.0);
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000.0));
}

void Engine::StopBackground() {
  MutexLock lock(&mutex_);
  background_enabled_ = false;
  background_.clear();
  changed_.NotifyAll();
}

int64_t Engine::DropContexts(const std::string& tenant_id) {
  std::future<int64_t> dropped;
  {
    MutexLock lock(&mutex_);
    if (stopping_) return 0;
    dropped = drops_.emplace_back(tenant_id, std::promise<int64_t>()).second.get_future();
    changed_.NotifyAll();
  }
  return dropped.get();
}

void Engine::WaitUntilIdle() {
  MutexLock lock(&mutex_);
  while (!idle_ && !stopping_) changed_.Wait(&mutex_);
}

}  // namespace dki::engine
