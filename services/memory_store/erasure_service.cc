// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/erasure_service.h"

#include "libs/erasure/receipt.h"
#include "services/memory_store/field_checks.h"

namespace dki::memory_store {
namespace {

using rpc::Call;
using rpc::Permission;
using rpc::Requirement;

constexpr size_t kMaxServiceBytes = 64;
constexpr size_t kMaxReportBytes = 65536;

absl::Status CheckService(const std::string& service) {
  return CheckString("service", service, 1, kMaxServiceBytes);
}

// A tenant's key that may erase; the cluster, which may ask for no tenant: for one that is gone.
absl::Status CheckReader(const rpc::Caller& caller) {
  if (caller.is_cluster || caller.May(Permission::kMemoryWrite)) return absl::OkStatus();
  return PermissionDenied("the key lacks the scope memory:write");
}

}  // namespace

grpc::Status ErasureService::GetErasure(grpc::ServerContext* context,
                                        const erasure::v1::GetErasureRequest* request,
                                        erasure::v1::GetErasureResponse* response) {
  return rpc::Handle(
      *runtime_, context, "GetErasure", Requirement::Authenticated(),
      [&](const Call& call) -> absl::Status {
        DKI_RETURN_IF_ERROR(CheckReader(call.caller()));
        DKI_RETURN_IF_ERROR(CheckHexId("id", request->id(), "era_", 32));
        DKI_ASSIGN_OR_RETURN(
            const ErasureRepository::Stored stored,
            repository_->Get(call.caller().tenant_id, request->id(), call.deadline()));
        erasure::v1::Erasure* erasure = response->mutable_erasure();
        erasure->set_id(request->id());
        erasure->set_tenant_id(stored.statement.tenant_id());
        *erasure->mutable_target() = stored.statement.target();
        *erasure->mutable_time() = stored.statement.time();
        erasure->set_position(stored.statement.position());
        std::vector<erasure::v1::SignedBytes> reports;
        for (const ErasureRepository::Report& report : stored.reports) {
          (report.bytes ? erasure->add_reported() : erasure->add_missing())->assign(report.service);
          if (report.bytes) reports.push_back(*report.bytes);
        }
        if (erasure->missing().empty()) {
          *response->mutable_receipt() =
              erasure::MakeReceipt(runtime_->signing_key(), stored.statement, reports);
        }
        return absl::OkStatus();
      });
}

grpc::Status ErasureService::ListKeys(grpc::ServerContext* context,
                                      const erasure::v1::ListKeysRequest*,
                                      erasure::v1::ListKeysResponse* response) {
  return rpc::Handle(*runtime_, context, "ListKeys", Requirement::Authenticated(),
                     [&](const Call& call) -> absl::Status {
                       DKI_ASSIGN_OR_RETURN(const auto keys,
                                            repository_->ListKeys(call.deadline()));
                       response->mutable_keys()->Add(keys.begin(), keys.end());
                       return absl::OkStatus();
                     });
}

grpc::Status ErasureService::ListDueErasures(grpc::ServerContext* context,
                                             const erasure::v1::ListDueErasuresRequest* request,
                                             erasure::v1::ListDueErasuresResponse* response) {
  return rpc::Handle(*runtime_, context, "ListDueErasures", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(CheckService(request->service()));
                       DKI_ASSIGN_OR_RETURN(
                           *response, repository_->ListDue(request->service(), call.deadline()));
                       return absl::OkStatus();
                     });
}

grpc::Status ErasureService::ReportErasure(grpc::ServerContext* context,
                                           const erasure::v1::ReportErasureRequest* request,
                                           erasure::v1::ReportErasureResponse*) {
  return rpc::Handle(*runtime_, context, "ReportErasure", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       const size_t size = request->report().payload().size();
                       if (size < 1 || size > kMaxReportBytes) {
                         return InvalidArgument("report: %d bytes, must be 1 to %d", size,
                                                kMaxReportBytes);
                       }
                       return repository_->AddReport(request->report(), call.deadline());
                     });
}

grpc::Status ErasureService::RemoveFollower(grpc::ServerContext* context,
                                            const erasure::v1::RemoveFollowerRequest* request,
                                            erasure::v1::RemoveFollowerResponse*) {
  return rpc::Handle(*runtime_, context, "RemoveFollower", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(CheckService(request->service()));
                       return repository_->RemoveFollower(request->service(), call.deadline());
                     });
}

}  // namespace dki::memory_store
