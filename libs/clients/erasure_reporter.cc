// SPDX-License-Identifier: Apache-2.0
#include "libs/clients/erasure_reporter.h"

#include <utility>

#include "absl/time/clock.h"
#include "libs/base/ids.h"
#include "libs/erasure/receipt.h"
#include "libs/rpc/call.h"
#include "libs/rpc/client.h"
#include "libs/telemetry/log.h"

namespace dki::clients {
namespace {

constexpr std::chrono::seconds kTimeout{5};

}  // namespace

ErasureReporter::ErasureReporter(std::unique_ptr<erasure::v1::ErasureService::StubInterface> stub,
                                 rpc::ServiceRuntime* runtime, const ErasureLedger* ledger,
                                 Describe describe, Options options)
    : stub_(std::move(stub)),
      runtime_(runtime),
      ledger_(ledger),
      describe_(std::move(describe)),
      options_(options) {}

void ErasureReporter::Start() {
  thread_ = std::thread([this] { Run(); });
}

void ErasureReporter::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    stop_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void ErasureReporter::Run() {
  bool failed = false;
  while (true) {
    const absl::Status status = ReportDue();
    if (!status.ok() && !std::exchange(failed, true)) {
      log::Warning("erasures cannot be reported", {{"error", ToString(status)}});
    }
    if (status.ok()) failed = false;
    MutexLock lock(&mutex_);
    if (!stopping_) stop_.WaitFor(&mutex_, options_.interval);
    if (stopping_) return;
  }
}

absl::Status ErasureReporter::ReportDue() {
  erasure::v1::ListDueErasuresRequest request;
  request.set_service(runtime_->instance());
  erasure::v1::ListDueErasuresResponse response;
  const auto context =
      rpc::OutgoingContext(runtime_->cluster_key(), "", NewId("erasures_"), kTimeout);
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(stub_->ListDueErasures(context.get(), request, &response)));
  for (const DueErasure& due : response.due()) DKI_RETURN_IF_ERROR(Report(due));
  return absl::OkStatus();
}

absl::Status ErasureReporter::Report(const DueErasure& due) {
  if (!ledger_->HasApplied(due)) return absl::OkStatus();
  const auto stores = describe_(due);
  if (!stores.has_value()) return absl::OkStatus();
  erasure::v1::ServiceReport report;
  report.set_erasure_id(due.erasure_id());
  report.set_tenant_id(due.tenant_id());
  report.set_position(due.position());
  report.set_service(runtime_->instance());
  report.mutable_stores()->Add(stores->begin(), stores->end());
  *report.mutable_time() = ToTimestamp(absl::Now());
  erasure::v1::ReportErasureRequest request;
  *request.mutable_report() = erasure::Sign(runtime_->signing_key(), report.SerializeAsString());
  erasure::v1::ReportErasureResponse response;
  const auto context =
      rpc::OutgoingContext(runtime_->cluster_key(), "", NewId("erasures_"), kTimeout);
  return rpc::FromGrpcStatus(stub_->ReportErasure(context.get(), request, &response));
}

}  // namespace dki::clients
