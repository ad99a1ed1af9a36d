// SPDX-License-Identifier: Apache-2.0
#include "services/kv/config.h"

#include <chrono>
#include <utility>

#include "libs/base/file.h"
#include "libs/base/strings.h"
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

std::chrono::milliseconds ToMillis(const google::protobuf::Duration& duration) {
  return std::chrono::milliseconds(duration.seconds() * 1000 + duration.nanos() / 1'000'000);
}

absl::StatusOr<std::optional<Settings::Remote>> ReadRemote(const config::v1::RemoteTier& config) {
  if (config.address().empty()) return std::nullopt;
  if (!config.address().starts_with("unix:") && config.address().find(':') == std::string::npos) {
    return InvalidArgument("remote.address: %s, must be host:port or unix:PATH", config.address());
  }
  Settings::Remote remote{.pool = {.address = config.address(),
                                   .timeout = ToMillis(config.timeout()),
                                   .rest = ToMillis(config.rest())},
                          .prefix = config.prefix(),
                          .ttl = absl::FromChrono(ToMillis(config.ttl()))};
  DKI_RETURN_IF_ERROR(CheckRange("remote.timeout (ms)", remote.pool.timeout.count(), 1, 60'000));
  DKI_RETURN_IF_ERROR(CheckRange("remote.rest (ms)", remote.pool.rest.count(), 0, 3'600'000));
  DKI_RETURN_IF_ERROR(CheckRange("remote.ttl (ms)", absl::ToInt64Milliseconds(remote.ttl), 1000,
                                 int64_t{366} * 86'400'000));
  if (!config.password_file().empty()) {
    const auto password = ReadFile(config.password_file());
    if (!password.ok()) return Annotate(password.status(), "remote.password_file");
    remote.pool.password = Trim(*password);
  }
  return remote;
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
  config.set_encryption_key_file("");
  config.mutable_data_key_lifetime()->set_seconds(30);
  config::v1::RemoteTier* const remote = config.mutable_remote();
  remote->set_address("");
  remote->set_password_file("");
  remote->set_prefix("dki:");
  remote->mutable_ttl()->set_seconds(86400);
  remote->mutable_timeout()->set_nanos(250'000'000);
  remote->mutable_rest()->set_seconds(5);
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
  DKI_ASSIGN_OR_RETURN(std::optional<Settings::Remote> remote, ReadRemote(config.remote()));
  if (remote && config.encryption_key_file().empty()) {
    return InvalidArgument("encryption_key_file: must be set where there is a remote tier");
  }
  const std::chrono::milliseconds lifetime = ToMillis(config.data_key_lifetime());
  DKI_RETURN_IF_ERROR(CheckRange("data_key_lifetime (ms)", lifetime.count(), 1, 3'600'000));
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
                  .remote = std::move(remote),
                  .encryption_key_file = config.encryption_key_file(),
                  .data_key_lifetime = lifetime,
                  .always_load = config.always_load()};
}

}  // namespace dki::kv
