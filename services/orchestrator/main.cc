// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/run_service.h"
#include "services/orchestrator/server.h"

int main(int argc, char** argv) {
  return dki::rpc::RunService<dki::config::v1::OrchestratorServer>(
      argc, argv, "orchestrator", dki::orchestrator::DefaultConfig(),
      dki::orchestrator::BuildOrchestratorServer);
}
