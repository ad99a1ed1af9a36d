// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/run_service.h"
#include "services/kv/config.h"
#include "services/kv/server.h"

int main(int argc, char** argv) {
  return dki::rpc::RunService<dki::config::v1::KvServer>(argc, argv, "kv", dki::kv::DefaultConfig(),
                                                         dki::kv::BuildKvServer);
}
