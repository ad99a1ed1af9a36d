// SPDX-License-Identifier: Apache-2.0
#include "services/generation/config.h"

#include <google/protobuf/util/time_util.h>

#include "libs/base/utf8.h"
#include "libs/engine/validate.h"
#include "libs/rpc/run_service.h"
#include "libs/transfer/message_socket.h"

namespace dki::generation {
namespace {

absl::Status CheckRange(const char* field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return InvalidArgument("%s must be from %d to %d, not %d", field, min, max, value);
}

}  // namespace

config::v1::GenerationServer DefaultConfig() {
  config::v1::GenerationServer config;
  *config.mutable_server() = rpc::DefaultServer(7104);
  config.mutable_kv()->set_address("127.0.0.1:7103");
  // A pack that nobody has asked for before is computed on this call, at prefill speed.
  config.mutable_kv()->mutable_timeout()->set_seconds(20);
  config.mutable_runtime()->set_model("SmolLM2-135M-Instruct.Q4_1.gguf");
  config.mutable_runtime()->set_threads(0);
  config.mutable_runtime()->set_isa("auto");
  config.mutable_runtime()->set_activations("auto");
  config.mutable_runtime()->set_block_format(kernels::Name(model::kDefaultBlockFormat));
  config.set_kv_format("f32");
  config.set_modulation_file("");
  config.set_max_running(8);
  config.set_max_waiting(64);
  config.set_prefill_chunk(256);
  const engine::Engine::Options defaults;
  config.set_prefix_cache_bytes(defaults.prefix_cache_bytes);
  config.set_kv_cache_bytes(defaults.kv_cache_bytes);
  config.set_max_waiting_bytes(defaults.max_waiting_bytes);
  config.set_decode_slowdown(defaults.decode_slowdown);
  const engine::PackCache::Options packs;
  config.set_pack_cache_bytes(packs.budget_bytes);
  *config.mutable_pack_cache_lifetime() =
      google::protobuf::util::TimeUtil::MillisecondsToDuration(packs.lifetime.count());
  config.set_handoff_socket("");
  config.mutable_memory_store()->set_address("127.0.0.1:7101");
  config.mutable_memory_store()->mutable_timeout()->set_seconds(5);
  return config;
}

absl::StatusOr<Settings> ReadConfig(const config::v1::GenerationServer& config) {
  if (config.runtime().model().empty()) return InvalidArgument("runtime.model must name a file");
  DKI_RETURN_IF_ERROR(CheckRange("runtime.threads", config.runtime().threads(), 0, 1024));
  DKI_RETURN_IF_ERROR(CheckRange("max_running", config.max_running(), 1, 1024));
  DKI_RETURN_IF_ERROR(CheckRange("max_waiting", config.max_waiting(), 1, 1 << 20));
  DKI_RETURN_IF_ERROR(CheckRange("prefill_chunk", config.prefill_chunk(), 1, 8192));
  DKI_RETURN_IF_ERROR(
      CheckRange("prefix_cache_bytes", config.prefix_cache_bytes(), 0, int64_t{1} << 50));
  DKI_RETURN_IF_ERROR(CheckRange("kv_cache_bytes", config.kv_cache_bytes(), 1, int64_t{1} << 50));
  if (config.prefix_cache_bytes() > config.kv_cache_bytes()) {
    return InvalidArgument("prefix_cache_bytes must be at most kv_cache_bytes, %d, not %d",
                           config.kv_cache_bytes(), config.prefix_cache_bytes());
  }
  DKI_RETURN_IF_ERROR(
      CheckRange("max_waiting_bytes", config.max_waiting_bytes(), 0, int64_t{1} << 50));
  if (!(config.decode_slowdown() >= 1.1 && config.decode_slowdown() <= 1000.0)) {
    return InvalidArgument("decode_slowdown must be from 1.1 to 1000, not %g",
                           config.decode_slowdown());
  }
  if (config.shared_system_prompt().size() > engine::kMaxMessageBytes ||
      FindInvalidUtf8(config.shared_system_prompt()) != std::string_view::npos) {
    return InvalidArgument("shared_system_prompt must be valid UTF-8 of at most %d bytes",
                           engine::kMaxMessageBytes);
  }
  const int64_t kv_timeout_ms =
      google::protobuf::util::TimeUtil::DurationToMilliseconds(config.kv().timeout());
  DKI_RETURN_IF_ERROR(CheckRange("kv.timeout (milliseconds)", kv_timeout_ms, 1, 3'600'000));
  if (config.kv().address().empty()) return InvalidArgument("kv.address must not be empty");

  DKI_RETURN_IF_ERROR(
      CheckRange("pack_cache_bytes", config.pack_cache_bytes(), 0, int64_t{1} << 50));
  const int64_t lifetime_ms =
      google::protobuf::util::TimeUtil::DurationToMilliseconds(config.pack_cache_lifetime());
  // What is erased must be gone within a minute, half of which a broken connection may go
  // unnoticed.
  DKI_RETURN_IF_ERROR(CheckRange("pack_cache_lifetime (milliseconds)", lifetime_ms, 1, 25'000));

  if (config.handoff_socket().size() > transfer::kMaxSocketPath) {
    return InvalidArgument("handoff_socket must have at most %d bytes, not %d",
                           transfer::kMaxSocketPath, config.handoff_socket().size());
  }

  Settings settings;
  settings.modulation_file = config.modulation_file();
  settings.model_path = config.runtime().model();
  settings.model = {.n_threads = config.runtime().threads(),
                    .isa = config.runtime().isa(),
                    .activations = config.runtime().activations(),
                    .kv_format = config.kv_format()};
  DKI_RETURN_IF_ERROR(model::ParseKvCodec(config.kv_format()).status());  // says kv_format itself
  const auto block_format = model::ParseBlockFormat(config.runtime().block_format());
  if (!block_format.ok()) return Annotate(block_format.status(), "runtime.block_format");
  settings.engine.block_format = *block_format;
  settings.engine.max_running = config.max_running();
  settings.engine.max_waiting = config.max_waiting();
  settings.engine.prefill_chunk = config.prefill_chunk();
  settings.engine.prefix_cache_bytes = config.prefix_cache_bytes();
  settings.engine.kv_cache_bytes = config.kv_cache_bytes();
  settings.engine.max_waiting_bytes = config.max_waiting_bytes();
  settings.engine.decode_slowdown = config.decode_slowdown();
  settings.engine.shared_system_prompt = config.shared_system_prompt();
  settings.packs.budget_bytes = config.pack_cache_bytes();
  settings.packs.lifetime = std::chrono::milliseconds(lifetime_ms);
  settings.memory_store_address = config.memory_store().address();
  settings.handoff_socket = config.handoff_socket();
  settings.kv_address = config.kv().address();
  settings.kv_timeout = std::chrono::milliseconds(kv_timeout_ms);
  return settings;
}

}  // namespace dki::generation
