// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/audit_writer.h"

#include <utility>

#include "libs/telemetry/log.h"
#include "services/orchestrator/memory_outbox.h"
#include "services/orchestrator/spool_outbox.h"

namespace dki::orchestrator {
namespace {

constexpr size_t kMaxWaitingInMemory = 4096;
// Outcomes whose clients have gone on: some tenths of a second of the store's time.
constexpr size_t kMaxOutcomesLater = 128;

AuditEntry Entry(const std::string& tenant_id, RecordKind kind,
                 const google::protobuf::Message& request) {
  return {.tenant_id = tenant_id, .kind = kind, .request = request.SerializeAsString()};
}

}  // namespace

absl::StatusOr<std::unique_ptr<AuditWriter>> AuditWriter::Create(const PipelineConfig& config,
                                                                 const Upstreams* upstreams,
                                                                 telemetry::Metrics* metrics) {
  std::unique_ptr<AuditOutbox> outbox;
  if (config.audit == AuditPolicy::kSpool) {
    DKI_ASSIGN_OR_RETURN(outbox, SpoolOutbox::Open(config.spool_path));
  } else {
    outbox = std::make_unique<MemoryOutbox>(kMaxWaitingInMemory);
  }
  return std::unique_ptr<AuditWriter>(
      new AuditWriter(config.audit, std::move(outbox), upstreams, metrics));
}

AuditWriter::AuditWriter(AuditPolicy policy, std::unique_ptr<AuditOutbox> outbox,
                         const Upstreams* upstreams, telemetry::Metrics* metrics)
    : policy_(policy),
      upstreams_(*upstreams),
      spooled_(metrics->GetCounter("dki_orchestrator_audit_spooled_total",
                                   "Audit records that were put into the outbox.")),
      lost_(metrics->GetCounter("dki_orchestrator_audit_lost_total",
                                "Audit records that are in no log.")),
      shipper_(
          std::move(outbox), [this](const AuditEntry& entry) { return Send(entry); }, metrics),
      outcomes_(kMaxOutcomesLater) {}

absl::Status AuditWriter::SendDecision(const std::string& tenant_id,
                                       const audit::v1::AppendDecisionRequest& request,
                                       Timeout timeout) const {
  audit::v1::AppendDecisionResponse response;
  const auto context =
      upstreams_.DetachedContext(tenant_id, request.decision().request_id(), timeout);
  return rpc::FromGrpcStatus(upstreams_.audit->AppendDecision(context.get(), request, &response));
}

absl::Status AuditWriter::SendOutcome(const std::string& tenant_id,
                                      const audit::v1::AppendOutcomeRequest& request) const {
  audit::v1::AppendOutcomeResponse response;
  const auto context = upstreams_.DetachedContext(tenant_id, request.outcome().decision_id(),
                                                  upstreams_.memory_store_timeout);
  return rpc::FromGrpcStatus(upstreams_.audit->AppendOutcome(context.get(), request, &response));
}

absl::Status AuditWriter::Send(const AuditEntry& entry) const {
  if (entry.kind == RecordKind::kDecision) {
    audit::v1::AppendDecisionRequest request;
    if (!request.ParseFromString(entry.request)) return DataLoss("a decision does not parse");
    return SendDecision(entry.tenant_id, request, upstreams_.memory_store_timeout);
  }
  audit::v1::AppendOutcomeRequest request;
  if (!request.ParseFromString(entry.request)) return DataLoss("an outcome does not parse");
  return SendOutcome(entry.tenant_id, request);
}

absl::StatusOr<AuditWriter::Place> AuditWriter::AppendDecision(
    const std::string& tenant_id, const audit::v1::AppendDecisionRequest& request,
    Timeout timeout) {
  const bool must_queue = policy_ == AuditPolicy::kSpool && shipper_.IsWaiting();
  if (!must_queue) {
    audit::v1::AppendDecisionRequest current = request;
    current.set_only_current(true);
    const absl::Status sent = SendDecision(tenant_id, current, timeout);
    if (sent.ok()) return Place::kStore;
    if (absl::IsAborted(sent)) return sent;
    if (!IsTransient(sent)) return Annotate(sent, "audit");
    if (policy_ == AuditPolicy::kRequired) {
      return Unavailable("the decision could not be committed to the audit log: %s",
                         ToStd(sent.message()));
    }
    if (policy_ == AuditPolicy::kBestEffort) {
      lost_->Increment();
      log::Warning("a decision is in no audit log", {{"tenant", tenant_id},
                                                     {"decision", request.decision().decision_id()},
                                                     {"error", ToString(sent)}});
      return Place::kLost;
    }
  }
  if (const absl::Status pushed = shipper_.Push(Entry(tenant_id, RecordKind::kDecision, request));
      !pushed.ok()) {
    return Unavailable("the decision could not be spooled: %s", ToStd(pushed.message()));
  }
  spooled_->Increment();
  return Place::kSpool;
}

void AuditWriter::AppendOutcome(const std::string& tenant_id,
                                const audit::v1::AppendOutcomeRequest& request, Place decision) {
  const std::string& decision_id = request.outcome().decision_id();
  if (decision == Place::kLost) {
    lost_->Increment();
    return;
  }
  if (decision == Place::kStore && !shipper_.IsWaiting()) {
    const absl::Status sent = SendOutcome(tenant_id, request);
    if (sent.ok()) return;
    if (!IsTransient(sent)) {
      lost_->Increment();
      log::Error("the store refused an outcome",
                 {{"tenant", tenant_id}, {"decision", decision_id}, {"error", ToString(sent)}});
      return;
    }
  }
  if (const absl::Status pushed = shipper_.Push(Entry(tenant_id, RecordKind::kOutcome, request));
      !pushed.ok()) {
    lost_->Increment();
    log::Error("an outcome is in no audit log",
               {{"tenant", tenant_id}, {"decision", decision_id}, {"error", ToString(pushed)}});
    return;
  }
  spooled_->Increment();
}

void AuditWriter::AppendOutcomeLater(const std::string& tenant_id,
                                     const audit::v1::AppendOutcomeRequest& request,
                                     Place decision) {
  const auto append = [this, tenant_id, request, decision] {
    AppendOutcome(tenant_id, request, decision);
  };
  if (!outcomes_.Offer(append)) append();
}

}  // namespace dki::orchestrator
