// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/audit_shipper.h"

#include <algorithm>
#include <utility>

#include "libs/telemetry/log.h"
#include "services/orchestrator/upstreams.h"

namespace dki::orchestrator {
namespace {

constexpr std::chrono::milliseconds kFirstPause{50};
constexpr std::chrono::milliseconds kLongestPause{1'000};

}  // namespace

AuditShipper::AuditShipper(std::unique_ptr<AuditOutbox> outbox, Send send,
                           telemetry::Metrics* metrics)
    : outbox_(std::move(outbox)),
      send_(std::move(send)),
      waiting_(metrics->GetGauge("dki_orchestrator_audit_waiting",
                                 "Audit records that wait for the store.")),
      refused_(metrics->GetCounter("dki_orchestrator_audit_refused_total",
                                   "Audit records that the store will never take.")) {
  waiting_->Set(static_cast<double>(outbox_->size()));
  thread_ = std::thread([this] { Run(); });
}

AuditShipper::~AuditShipper() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  thread_.join();
  Drain();
}

absl::Status AuditShipper::Push(const AuditEntry& entry) {
  DKI_RETURN_IF_ERROR(outbox_->Push(entry));
  waiting_->Set(static_cast<double>(outbox_->size()));
  MutexLock lock(&mutex_);
  pushed_ = true;
  wake_.NotifyAll();
  return absl::OkStatus();
}

bool AuditShipper::Drain() {
  while (true) {
    const auto entry = outbox_->Front();
    if (!entry.ok()) {
      log::Error("an audit record cannot be read", {{"error", ToString(entry.status())}});
      return false;
    }
    if (!entry->has_value()) return true;
    const absl::Status sent = send_(**entry);
    if (!sent.ok() && IsTransient(sent)) return false;
    if (!sent.ok()) {
      refused_->Increment();
      log::Error("the store refused an audit record",
                 {{"tenant", (*entry)->tenant_id}, {"error", ToString(sent)}});
    }
    if (const absl::Status popped = outbox_->Pop(); !popped.ok()) {
      log::Warning("the audit outbox", {{"error", ToString(popped)}});
    }
    waiting_->Set(static_cast<double>(outbox_->size()));
  }
}

void AuditShipper::Run() {
  std::chrono::milliseconds pause = kFirstPause;
  while (true) {
    const bool is_empty = Drain();
    pause = is_empty ? kFirstPause : std::min(2 * pause, kLongestPause);
    MutexLock lock(&mutex_);
    if (is_empty) {
      while (!pushed_ && !stopping_) wake_.Wait(&mutex_);
    } else if (!stopping_) {
      wake_.WaitFor(&mutex_, pause);
    }
    pushed_ = false;
    if (stopping_) return;
  }
}

}  // namespace dki::orchestrator
