// SPDX-License-Identifier: Apache-2.0
// Purpose: DataKeyService on the wire: who may call, and the limits of what they say.
// Thread-safety: thread-safe. Ownership: owns none of its parts.
#pragma once

#include "dki/memory/v1/data_key_service.grpc.pb.h"
#include "libs/rpc/call.h"
#include "libs/rpc/service_runtime.h"
#include "services/memory_store/data_keys.h"

namespace dki::memory_store {

class DataKeyService final : public memory::v1::DataKeyService::Service {
 public:
  DataKeyService(rpc::ServiceRuntime* runtime, DataKeyStore* keys)
      : runtime_(runtime), keys_(keys) {}

  grpc::Status GetOrCreateDataKey(grpc::ServerContext* context,
                                  const memory::v1::GetOrCreateDataKeyRequest* request,
                                  memory::v1::GetOrCreateDataKeyResponse* response) override;
  grpc::Status GetDataKey(grpc::ServerContext* context,
                          const memory::v1::GetDataKeyRequest* request,
                          memory::v1::GetDataKeyResponse* response) override;
  grpc::Status DestroyDataKeys(grpc::ServerContext* context,
                               const memory::v1::DestroyDataKeysRequest* request,
                               memory::v1::DestroyDataKeysResponse* response) override;

 private:
  rpc::ServiceRuntime* const runtime_;
  DataKeyStore* const keys_;
};

}  // namespace dki::memory_store
