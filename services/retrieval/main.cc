// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/run_service.h"
#include "services/retrieval/server.h"

int main(int argc, char** argv) {
  return dki::rpc::RunService<dki::config::v1::RetrievalServer>(
      argc, argv, "retrieval", dki::retrieval::DefaultConfig(),
      dki::retrieval::BuildRetrievalServer);
}
