// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/run_service.h"
#include "services/memory_store/server.h"

int main(int argc, char** argv) {
  return dki::rpc::RunService<dki::config::v1::MemoryStoreServer>(
      argc, argv, "memory_store", dki::memory_store::DefaultConfig(),
      dki::memory_store::BuildMemoryStoreServer);
}
