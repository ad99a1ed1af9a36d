// SPDX-License-Identifier: Apache-2.0
// Purpose: the pipeline: retrieve, gate, weigh, assemble, commit the decision (while generation
// reads
//   the prompt; the first token waits for it), pass on the answer, commit the outcome. The shell
//   around the pure steps; it owns the order of things, the deadlines and what is done without when
//   a part is away.
//
// A repeated request (same client-chosen id) never gets a second decision. If its answer is in the
// log, that answer is given again; else it is written again from the recorded decision, so that the
// record explains it. Neither happens when a memory of it has been deleted.
// Thread-safety: thread-safe. Ownership: the dependencies must outlive it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "dki/orchestrator/v1/dki_service.pb.h"
#include "libs/base/clock.h"
#include "libs/telemetry/metrics.h"
#include "services/orchestrator/audit_writer.h"
#include "services/orchestrator/chat_task.h"
#include "services/orchestrator/generate_step.h"
#include "services/orchestrator/model_info.h"
#include "services/orchestrator/prefetcher.h"
#include "services/orchestrator/records.h"
#include "services/orchestrator/retriever.h"

namespace dki::orchestrator {

// Receives the events of a chat; false when nobody listens any more.
using EventSink = std::function<bool(const v1::ChatResponse&)>;

class ChatPipeline {
 public:
  struct Parts {
    const PipelineConfig* config;
    const Upstreams* upstreams;
    const Retriever* retriever;
    AuditWriter* audit;
    ModelInfo* model;
    telemetry::Metrics* metrics;
    const Clock* clock;
  };
  explicit ChatPipeline(const Parts& parts) : parts_(parts), prefetcher_(parts.upstreams) {}

  absl::Status Run(const rpc::Call& call, const v1::ChatRequest& request, const EventSink& sink);

 private:
  class Timer;
  // What the request needs before its answer can be written.
  struct Plan {
    Decided decided;
    audit::v1::DecisionRecord record;
    generation::v1::GenerateRequest request;
    // The answer, begun before the decision is committed; nothing of it is passed on until then.
    std::unique_ptr<GenerationStream> stream;
    AuditWriter::Place place = AuditWriter::Place::kStore;
  };

  absl::StatusOr<std::optional<audit::v1::Decision>> FindRecorded(const rpc::Call& call,
                                                                  const ChatTask& task) const;
  absl::Status Replay(const rpc::Call& call, const ChatTask& task,
                      const audit::v1::Decision& recorded, const EventSink& sink) const;
  absl::Status LoadHistory(const rpc::Call& call, ChatTask* task) const;
  absl::StatusOr<Decided> Decide(const rpc::Call& call, const ChatTask& task,
                                 const generation::v1::GetModelResponse& model, Timer* timer) const;
  absl::StatusOr<Plan> MakePlan(const rpc::Call& call, const ChatTask& task,
                                const std::optional<audit::v1::Decision>& recorded, Timer* timer);
  void PrefetchChosen(const rpc::Call& call, const ChatTask& task,
                      const std::string& kv_fingerprint, const Plan& plan) const;
  // Decides, assembles and commits. ABORTED when a memory was changed or deleted meanwhile.
  absl::StatusOr<Plan> MakeNewPlan(const rpc::Call& call, const ChatTask& task,
                                   const generation::v1::GetModelResponse& model, Timer* timer);
  void Assemble(const rpc::Call& call, const ChatTask& task,
                const generation::v1::GetModelResponse& model, Plan* plan);
  absl::Status Commit(const rpc::Call& call, const ChatTask& task, Plan* plan) const;
  Answered Answer(const Plan& plan, const EventSink& sink, Timer* timer);
  absl::Status AppendTurn(const rpc::Call& call, const ChatTask& task,
                          const std::string& answer) const;
  void Count(const Decided& decided) const;

  const Parts parts_;
  Prefetcher prefetcher_;
};

}  // namespace dki::orchestrator
