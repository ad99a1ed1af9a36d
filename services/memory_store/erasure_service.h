// SPDX-License-Identifier: Apache-2.0
// Purpose: ErasureService on the wire; signs statements with this process's key.
// Thread-safety: thread-safe. Ownership: owns none of what it is given.
#pragma once

#include "dki/erasure/v1/erasure_service.grpc.pb.h"
#include "libs/rpc/call.h"
#include "libs/rpc/service_runtime.h"
#include "services/memory_store/erasure_repository.h"

namespace dki::memory_store {

class ErasureService final : public erasure::v1::ErasureService::Service {
 public:
  ErasureService(rpc::ServiceRuntime* runtime, ErasureRepository* repository)
      : runtime_(runtime), repository_(repository) {}

  grpc::Status GetErasure(grpc::ServerContext* context,
                          const erasure::v1::GetErasureRequest* request,
                          erasure::v1::GetErasureResponse* response) override;
  grpc::Status ListKeys(grpc::ServerContext* context, const erasure::v1::ListKeysRequest* request,
                        erasure::v1::ListKeysResponse* response) override;
  grpc::Status ListDueErasures(grpc::ServerContext* context,
                               const erasure::v1::ListDueErasuresRequest* request,
                               erasure::v1::ListDueErasuresResponse* response) override;
  grpc::Status ReportErasure(grpc::ServerContext* context,
                             const erasure::v1::ReportErasureRequest* request,
                             erasure::v1::ReportErasureResponse* response) override;
  grpc::Status RemoveFollower(grpc::ServerContext* context,
                              const erasure::v1::RemoveFollowerRequest* request,
                              erasure::v1::RemoveFollowerResponse* response) override;

 private:
  rpc::ServiceRuntime* const runtime_;
  ErasureRepository* const repository_;
};

}  // namespace dki::memory_store
