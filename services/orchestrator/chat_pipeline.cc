// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/chat_pipeline.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "libs/base/ids.h"
#include "services/orchestrator/assemble_step.h"
#include "services/orchestrator/gate_step.h"
#include "services/orchestrator/probe_step.h"
#include "services/orchestrator/weigh_step.h"

namespace dki::orchestrator {
namespace {

constexpr size_t kSaltBytes = 16;
// Memories that keep changing while a request is decided.
constexpr int kMaxDecisions = 4;

bool SendFinished(const audit::v1::OutcomeRecord& outcome, const std::string& text,
                  const google::protobuf::RepeatedField<int32_t>& token_ids,
                  const EventSink& sink) {
  v1::ChatResponse event;
  *event.mutable_finished()->mutable_outcome() = outcome;
  event.mutable_finished()->set_text(text);
  *event.mutable_finished()->mutable_token_ids() = token_ids;
  return sink(event);
}

bool SendDecided(const audit::v1::DecisionRecord& record, const EventSink& sink) {
  v1::ChatResponse event;
  *event.mutable_decided()->mutable_decision() = record;
  return sink(event);
}

bool SendText(std::string_view text, const EventSink& sink) {
  v1::ChatResponse event;
  event.set_text(std::string(text));
  return sink(event);
}

bool IsAnswered(const audit::v1::Decision& recorded) {
  return recorded.has_outcome() && recorded.outcome().status() == "ok";
}

// Of the prefetch of all candidates.
std::string CandidatesId(const ChatTask& task) {
  return task.decision_id + ":candidates";
}

std::vector<std::string> ChosenIds(const audit::v1::DecisionRecord& record) {
  std::vector<std::string> ids;
  for (const auto& memory : record.chosen()) ids.push_back(memory.memory_id());
  return ids;
}

}  // namespace

// Measures the steps of one request, for the record and for the metrics.
class ChatPipeline::Timer {
 public:
  explicit Timer(telemetry::Metrics* metrics) : metrics_(metrics) {}

  // Microseconds of the step that ends now.
  int64_t EndStep(const char* step) {
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double> seconds = now - step_start_;
    metrics_
        ->GetHistogram("dki_orchestrator_step_seconds", "Time of a step of the pipeline.",
                       {{"step", step}})
        ->Observe(seconds.count());
    step_start_ = now;
    return static_cast<int64_t>(seconds.count() * 1e6);
  }
  int64_t TotalMicros() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                                 start_)
        .count();
  }

  int64_t retrieve_us = 0;
  int64_t probe_us = 0;
  int64_t decide_us = 0;

 private:
  telemetry::Metrics* const metrics_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point step_start_ = start_;
};

absl::Status ChatPipeline::Run(const rpc::Call& call, const v1::ChatRequest& request,
                               const EventSink& sink) {
  Timer timer(parts_.metrics);
  const std::string& tenant_id = call.caller().tenant_id;
  DKI_ASSIGN_OR_RETURN(ChatTask task,
                       MakeChatTask(*parts_.config, tenant_id, request, NewId("req_")));
  DKI_ASSIGN_OR_RETURN(const std::optional<audit::v1::Decision> recorded, FindRecorded(call, task));
  if (recorded && IsAnswered(*recorded)) return Replay(call, task, *recorded, sink);
  DKI_RETURN_IF_ERROR(LoadHistory(call, &task));
  DKI_ASSIGN_OR_RETURN(const Plan plan, MakePlan(call, task, recorded, &timer));

  SendDecided(plan.record, sink);
  const Answered answered = Answer(plan, sink, &timer);
  const audit::v1::AppendOutcomeRequest outcome =
      MakeOutcome(task.decision_id, answered, RandomBytes(kSaltBytes), parts_.clock->Now());
  // A request that may come again finds its outcome: it is written before the client hears of the
  // end. Other clients need not wait.
  if (task.is_repeatable || !answered.status.ok()) {
    parts_.audit->AppendOutcome(tenant_id, outcome, plan.place);
  } else {
    parts_.audit->AppendOutcomeLater(tenant_id, outcome, plan.place);
  }
  DKI_RETURN_IF_ERROR(answered.status);
  DKI_RETURN_IF_ERROR(AppendTurn(call, task, answered.text));
  SendFinished(outcome.outcome(), answered.text, answered.finished.token_ids(), sink);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<audit::v1::Decision>> ChatPipeline::FindRecorded(
    const rpc::Call& call, const ChatTask& task) const {
  // The server's own ids are new each time.
  if (!task.is_repeatable) return std::optional<audit::v1::Decision>();
  audit::v1::GetDecisionRequest request;
  request.set_decision_id(task.decision_id);
  audit::v1::GetDecisionResponse response;
  const Upstreams& upstreams = *parts_.upstreams;
  const auto context = upstreams.ContextFor(call, upstreams.memory_store_timeout);
  const absl::Status status =
      rpc::FromGrpcStatus(upstreams.audit->GetDecision(context.get(), request, &response));
  if (status.ok()) {
    DKI_RETURN_IF_ERROR(CheckSameRequest(task, response.decision()));
    return std::optional<audit::v1::Decision>(std::move(*response.mutable_decision()));
  }
  if (absl::IsNotFound(status)) return std::optional<audit::v1::Decision>();
  DKI_RETURN_IF_ERROR(CheckClient(call));
  if (!IsTransient(status)) return Annotate(status, "audit");
  if (parts_.config->audit == AuditPolicy::kRequired) {
    return Unavailable("the audit log is away: %s", ToStd(status.message()));
  }
  return std::optional<audit::v1::Decision>();
}

absl::Status ChatPipeline::Replay(const rpc::Call& call, const ChatTask& task,
                                  const audit::v1::Decision& recorded,
                                  const EventSink& sink) const {
  const std::string& text = recorded.answer_text();
  if (text.empty() && recorded.outcome().usage().completion_tokens() > 0) {
    return AlreadyExists("request_id %s was answered (decision %s), and the answer was erased",
                         task.request_id, task.decision_id);
  }
  // What was made with a memory is not given again after its deletion.
  const std::vector<std::string> ids = ChosenIds(recorded.decision());
  DKI_ASSIGN_OR_RETURN(const Memories current,
                       parts_.retriever->CurrentMemories(call, ids, task.scope));
  if (current.size() < static_cast<int>(std::set<std::string>(ids.begin(), ids.end()).size())) {
    return Aborted(
        "request_id %s was answered (decision %s) with a memory that has been deleted since; send "
        "it with a new request_id",
        task.request_id, task.decision_id);
  }
  DKI_RETURN_IF_ERROR(AppendTurn(call, task, text));
  SendDecided(recorded.decision(), sink);
  if (!text.empty()) SendText(text, sink);
  SendFinished(recorded.outcome(), text, {}, sink);
  return absl::OkStatus();
}

absl::Status ChatPipeline::LoadHistory(const rpc::Call& call, ChatTask* task) const {
  if (task->conversation_id.empty()) return absl::OkStatus();
  memory::v1::ListMessagesRequest request;
  request.set_conversation_id(task->conversation_id);
  *request.mutable_viewer() = task->scope;
  memory::v1::ListMessagesResponse response;
  const Upstreams& upstreams = *parts_.upstreams;
  const auto context = upstreams.ContextFor(call, upstreams.memory_store_timeout);
  DKI_RETURN_IF_ERROR(Annotate(
      rpc::FromGrpcStatus(upstreams.memory_store->ListMessages(context.get(), request, &response)),
      "conversation_id"));
  task->history.assign(response.messages().begin(), response.messages().end());
  return absl::OkStatus();
}

absl::StatusOr<Decided> ChatPipeline::Decide(const rpc::Call& call, const ChatTask& task,
                                             const generation::v1::GetModelResponse& model,
                                             Timer* timer) const {
  Decided decided;
  if (task.memory.mode == common::v1::MODE_VANILLA) {
    decided.gate = "vanilla";
    return decided;
  }
  DKI_ASSIGN_OR_RETURN(Retrieved retrieved, parts_.retriever->Retrieve(call, task));
  timer->retrieve_us = timer->EndStep("retrieve");
  decided.retrieved = std::move(retrieved.candidates);
  decided.degraded = std::move(retrieved.degraded);
  decided.embedding_fingerprint = retrieved.embedding_fingerprint;
  decided.search_position = retrieved.position;
  const std::vector<Candidate*> current = InPackOrder(task.memory, decided.retrieved);
  const injection::Calibration* calibration = CalibrationFor(*parts_.config, model.fingerprint());
  // Weights that are given and a gate that is open leave nothing to find out.
  const bool asks = task.memory.gate.enabled || (task.memory.mode == common::v1::MODE_INJECTED &&
                                                 !task.memory.forces_weights());
  if (current.empty() || !asks) calibration = nullptr;
  if (calibration != nullptr) CompareWords(task, current);
  // What can be told without a probe is told first: where nothing is needed, nothing is computed.
  const bool is_closed =
      calibration != nullptr && !calibration->answer.needs_probe() &&
      ApplyGate(task.memory.gate, calibration, task.turn.content(), current).decision == kNoAnswer;
  // Before anything is decided: their K/V is on its way meanwhile.
  if (!is_closed && task.memory.mode == common::v1::MODE_INJECTED) {
    generation::v1::Prompt prompt =
        AssemblePrompt(*parts_.config, task, model.default_system_prompt(),
                       common::v1::MODE_INJECTED, AllAlike(current));
    if (calibration != nullptr) ComposeForProbe(*calibration, &prompt);
    decided.prefetched = PackToPrefetch(prompt);
    prefetcher_.Prefetch(call.caller().tenant_id, call.request_id(), model.kv_fingerprint(),
                         CandidatesId(task), decided.prefetched);
  }

  if (calibration != nullptr && !is_closed) {
    const absl::Status probed =
        ProbeCandidates(*parts_.upstreams, call, *parts_.config, task,
                        model.default_system_prompt(), *calibration, current);
    DKI_RETURN_IF_ERROR(CheckClient(call));
    if (!probed.ok() && !IsTransient(probed)) return Annotate(probed, "generation");
    if (!probed.ok()) {
      decided.degraded.push_back("probe");
      calibration = nullptr;
    }
    timer->probe_us = timer->EndStep("probe");
  }
  const Gated gated = ApplyGate(task.memory.gate, calibration, task.turn.content(), current);
  decided.gate = gated.decision;
  decided.answer_probability = gated.probability;
  if (calibration != nullptr) decided.answer_threshold = calibration->answer.threshold;
  decided.chosen =
      ChooseMemories(parts_.config->alpha, calibration, task.turn.content(), task.memory, current);
  if (decided.retrieved.empty() && !decided.degraded.empty()) decided.gate = "degraded";
  const bool any_passed = std::any_of(decided.retrieved.begin(), decided.retrieved.end(),
                                      [](const Candidate& c) { return c.passed; });
  if (any_passed && decided.chosen.empty()) decided.gate = "forced";
  return decided;
}

absl::StatusOr<ChatPipeline::Plan> ChatPipeline::MakePlan(
    const rpc::Call& call, const ChatTask& task, const std::optional<audit::v1::Decision>& recorded,
    Timer* timer) {
  Plan plan;
  // Without it the decision is still worth recording; Generate will say what is wrong.
  const generation::v1::GetModelResponse model =
      parts_.model->Get(call).value_or(generation::v1::GetModelResponse());
  DKI_RETURN_IF_ERROR(CheckClient(call));
  if (recorded) {
    plan.record = recorded->decision();
    DKI_ASSIGN_OR_RETURN(const Memories current, parts_.retriever->CurrentMemories(
                                                     call, ChosenIds(plan.record), task.scope));
    DKI_ASSIGN_OR_RETURN(plan.decided.chosen, RestoreChosen(plan.record, current));
    Assemble(call, task, model, &plan);
  } else {
    auto made = MakeNewPlan(call, task, model, timer);
    for (int n = 1; absl::IsAborted(made.status()) && n < kMaxDecisions; ++n) {
      made = MakeNewPlan(call, task, model, timer);
    }
    DKI_ASSIGN_OR_RETURN(plan, std::move(made));
  }
  timer->decide_us = timer->EndStep("decide");
  return plan;
}

absl::StatusOr<ChatPipeline::Plan> ChatPipeline::MakeNewPlan(
    const rpc::Call& call, const ChatTask& task, const generation::v1::GetModelResponse& model,
    Timer* timer) {
  Plan plan;
  DKI_ASSIGN_OR_RETURN(plan.decided, Decide(call, task, model, timer));
  Assemble(call, task, model, &plan);
  DKI_RETURN_IF_ERROR(Commit(call, task, &plan));
  return plan;
}

void ChatPipeline::Assemble(const rpc::Call& call, const ChatTask& task,
                            const generation::v1::GetModelResponse& model, Plan* plan) {
  plan->decided.model_fingerprint = model.fingerprint();
  plan->request =
      AssembleRequest(*parts_.config, task, model.default_system_prompt(), plan->decided.chosen);
  PrefetchChosen(call, task, model.kv_fingerprint(), *plan);
  plan->stream = std::make_unique<GenerationStream>(*parts_.upstreams, call, plan->request);
}

// The pack that the answer needs, where it is another one than that of all candidates, whose blocks
// behind the first difference nobody needs now.
void ChatPipeline::PrefetchChosen(const rpc::Call& call, const ChatTask& task,
                                  const std::string& kv_fingerprint, const Plan& plan) const {
  const std::string& tenant_id = call.caller().tenant_id;
  kv::v1::PackSpec pack = PackToPrefetch(plan.request.prompt());
  const kv::v1::PackSpec& before = plan.decided.prefetched;
  if (google::protobuf::util::MessageDifferencer::Equals(pack, before)) return;
  if (before.memories_size() > 0) {
    prefetcher_.Cancel(tenant_id, call.request_id(), CandidatesId(task));
  }
  prefetcher_.Prefetch(tenant_id, call.request_id(), kv_fingerprint, task.decision_id,
                       std::move(pack));
}

absl::Status ChatPipeline::Commit(const rpc::Call& call, const ChatTask& task, Plan* plan) const {
  const audit::v1::AppendDecisionRequest request =
      MakeDecision(*parts_.config, task, call.caller().key_id, plan->decided,
                   RandomBytes(kSaltBytes), parts_.clock->Now());
  const auto left =
      std::chrono::duration_cast<Timeout>(call.deadline() - std::chrono::system_clock::now());
  const Timeout timeout =
      std::clamp(left, Timeout(1), std::max(Timeout(1), parts_.upstreams->memory_store_timeout));
  DKI_ASSIGN_OR_RETURN(plan->place,
                       parts_.audit->AppendDecision(call.caller().tenant_id, request, timeout));
  plan->record = request.decision();
  Count(plan->decided);
  return absl::OkStatus();
}

Answered ChatPipeline::Answer(const Plan& plan, const EventSink& sink, Timer* timer) {
  int64_t first_token_us = 0;
  Answered answered = plan.stream->Read([&](std::string_view text) {
    if (first_token_us == 0) first_token_us = timer->TotalMicros();
    return SendText(text, sink);
  });
  timer->EndStep("generate");
  answered.timings.set_retrieve_us(timer->retrieve_us);
  answered.timings.set_probe_us(timer->probe_us);
  answered.timings.set_decide_us(timer->decide_us);
  answered.timings.set_first_token_us(first_token_us);
  answered.timings.set_total_us(timer->TotalMicros());
  if (!answered.model_fingerprint.empty()) {
    parts_.model->Saw(answered.model_fingerprint);
  } else {
    parts_.model->Forget();
  }
  return answered;
}

absl::Status ChatPipeline::AppendTurn(const rpc::Call& call, const ChatTask& task,
                                      const std::string& answer) const {
  if (task.conversation_id.empty()) return absl::OkStatus();
  memory::v1::AppendMessagesRequest request;
  // A repeated request appends nothing more.
  request.set_request_id(task.decision_id + ":messages");
  request.set_conversation_id(task.conversation_id);
  request.set_decision_id(task.decision_id);
  *request.mutable_viewer() = task.scope;
  *request.add_messages() = task.turn;
  common::v1::Message* reply = request.add_messages();
  reply->set_role("assistant");
  reply->set_content(task.answer_prefix + answer);
  memory::v1::AppendMessagesResponse response;
  const Upstreams& upstreams = *parts_.upstreams;
  const auto context = upstreams.DetachedContext(call.caller().tenant_id, call.request_id(),
                                                 upstreams.memory_store_timeout);
  const absl::Status status = rpc::FromGrpcStatus(
      upstreams.memory_store->AppendMessages(context.get(), request, &response));
  return Annotate(status,
                  absl::StrFormat("the answer is not in conversation %s yet (repeat the request "
                                  "with request_id %s)",
                                  task.conversation_id, task.request_id));
}

void ChatPipeline::Count(const Decided& decided) const {
  parts_.metrics
      ->GetCounter("dki_orchestrator_decisions_total", "Decisions, by what the gate said.",
                   {{"gate", decided.gate}})
      ->Increment();
  for (const std::string& part : decided.degraded) {
    parts_.metrics
        ->GetCounter("dki_orchestrator_degraded_total", "Requests that did without a part.",
                     {{"part", part}})
        ->Increment();
  }
}

}  // namespace dki::orchestrator
