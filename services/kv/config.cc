// SPDX-License-Identifier: Apache-2.0
#include "services/kv/config.h"

#include "libs/rpc/run_service.h"
#include "libs/transfer/message_socket.h"

namespace dki::kv {
namespace {

constexpr int kPort = 7103;
constexpr int64_t kMiB = int64_t{1} << 20;

absl::Status CheckRange(const char* field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return InvalidArgument("%s: %d, must be %d to %d", field, value, min, max);
}

}  // namespace

config::v1::KvServer DefaultConfig() {
  config::v1::KvServer config;
  *config.mutable_server() = rpc::DefaultServer(kPort);
  config.mutable_memory_store()->set_address("127.0.0.1:7101");
  config.mutable_memory_store()->mutable_timeout()->set_seconds(5);
  config.mutable_runtime()->set_model("SmolLM2-135M-Instruct.Q4_1.gguf");
  config.mutable_runtime()->set_threads(0);
  config.mutable_runtime()->set_isa("auto");
  config.mutable_runtime()->set_activations("auto");
  config.mutable_runtime()->set_block_format(kernels::Name(model::kDefaultBlockFormat));
  config.set_ram_bytes(512 * kMiB);
  config.set_disk_path("");
  config.set_disk_bytes(4096 * kMiB);
  config.set_eviction("greedy_dual");
  config.set_ram_bytes_per_tenant(0);
  config.set_disk_bytes_per_tenant(0);
  config.set_always_load(false);
  config.set_drift_budget(injection::DriftOptions().budget);
  config.set_handoff_socket("");
  return config;
}

absl::StatusOr<Settings> ReadConfig(const config::v1::KvServer& config) {
  if (config.runtime().model().empty()) return InvalidArgument("runtime.model: must name a file");
  DKI_RETURN_IF_ERROR(CheckRange("runtime.threads", config.runtime().threads(), 0, 1024));
  if (config.memory_store().address().empty()) {
    return InvalidArgument("memory_store.address: must be set");
  }
  DKI_RETURN_IF_ERROR(CheckRange("ram_bytes", config.ram_bytes(), 0, int64_t{1} << 50));
  DKI_RETURN_IF_ERROR(CheckRange("disk_bytes", config.disk_bytes(), 0, int64_t{1} << 50));
  DKI_RETURN_IF_ERROR(
      CheckRange("ram_bytes_per_tenant", config.ram_bytes_per_tenant(), 0, int64_t{1} << 50));
  DKI_RETURN_IF_ERROR(
      CheckRange("disk_bytes_per_tenant", config.disk_bytes_per_tenant(), 0, int64_t{1} << 50));
  const auto block_format = model::ParseBlockFormat(config.runtime().block_format());
  if (!block_format.ok()) return Annotate(block_format.status(), "runtime.block_format");
  if (!(config.drift_budget() >= 0 && config.drift_budget() <= 1000)) {
    return InvalidArgument("drift_budget: %g, must be 0 to 1000", config.drift_budget());
  }
  if (config.handoff_socket().size() > transfer::kMaxSocketPath) {
    return InvalidArgument("handoff_socket: has %d bytes, at most %d",
                           config.handoff_socket().size(), transfer::kMaxSocketPath);
  }
  const auto policy = kvcache::ParseEvictionPolicy(config.eviction());
  if (!policy.ok()) return Annotate(policy.status(), "eviction");
  return Settings{.model_path = config.runtime().model(),
                  .model = {.n_threads = config.runtime().threads(),
                            .isa = config.runtime().isa(),
                            .activations = config.runtime().activations()},
                  .block_format = *block_format,
                  .drift = {.budget = config.drift_budget()},
                  .memory_store_address = config.memory_store().address(),
                  .ram = {.bytes = config.ram_bytes(),
                          .bytes_per_tenant = config.ram_bytes_per_tenant(),
                          .policy = *policy},
                  .handoff_socket = config.handoff_socket(),
                  .disk_path = config.disk_path(),
                  .disk = {.bytes = config.disk_bytes(),
                           .bytes_per_tenant = config.disk_bytes_per_tenant(),
                           .policy = *policy},
                  .always_load = config.always_load()};
}

}  // namespace dki::kv
