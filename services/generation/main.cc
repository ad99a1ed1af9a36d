// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/run_service.h"
#include "services/generation/config.h"
#include "services/generation/generation_server.h"

int main(int argc, char** argv) {
  return dki::rpc::RunService<dki::config::v1::GenerationServer>(
      argc, argv, "generation", dki::generation::DefaultConfig(),
      dki::generation::BuildGenerationServer);
}
