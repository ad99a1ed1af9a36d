// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/server.h"

#include "libs/base/clock.h"
#include "libs/erasure/receipt.h"
#include "services/memory_store/audit_service.h"
#include "services/memory_store/background.h"
#include "services/memory_store/data_key_service.h"
#include "services/memory_store/database.h"
#include "services/memory_store/erasure_repository.h"
#include "services/memory_store/erasure_service.h"
#include "services/memory_store/key_verifier.h"
#include "services/memory_store/memory_store_service.h"
#include "services/memory_store/migrations.h"
#include "services/memory_store/postgres_audit_repository.h"
#include "services/memory_store/postgres_conversation_repository.h"
#include "services/memory_store/postgres_feed_source.h"
#include "services/memory_store/postgres_memory_repository.h"
#include "services/memory_store/postgres_tenant_repository.h"
#include "services/memory_store/table_statistics.h"
#include "services/memory_store/tenant_service.h"

namespace dki::memory_store {
namespace {

constexpr int kPort = 7101;
constexpr int kMaxPoolSize = 256;
constexpr std::chrono::seconds kMigrationPatience{60};
constexpr std::chrono::seconds kChoreInterval{60};
constexpr std::chrono::seconds kStatisticsInterval{1};
constexpr std::chrono::seconds kStatisticsPatience{30};

std::chrono::milliseconds ToMillis(const google::protobuf::Duration& duration) {
  return std::chrono::milliseconds(duration.seconds() * 1000 + duration.nanos() / 1'000'000);
}

Database::Options DatabaseOptions(const config::v1::MemoryStoreServer& config) {
  return {.connection_string = config.database(),
          .pool_size = config.pool_size(),
          .statement_timeout = ToMillis(config.statement_timeout())};
}

class MemoryStoreServer : public rpc::ServiceInstance {
 public:
  MemoryStoreServer(const config::v1::MemoryStoreServer& config, rpc::ServiceRuntime* runtime)
      : database_(DatabaseOptions(config)),
        memories_(&database_, &signal_, RealClock()),
        conversations_(&database_, RealClock()),
        feed_(&database_),
        follower_(&feed_, &signal_, FeedFollower::Options()),
        audit_(&database_, RealClock()),
        data_keys_(&database_, RealClock()),
        tenants_(&database_, &signal_, RealClock()),
        erasures_(&database_, RealClock()),
        service_({.runtime = runtime,
                  .memories = &memories_,
                  .conversations = &conversations_,
                  .follower = &follower_,
                  .clock = RealClock(),
                  .erasures = &erasures_}),
        audit_service_(runtime, &audit_),
        data_key_service_(runtime, &data_keys_),
        tenant_service_(runtime, &tenants_, RealClock()),
        erasure_service_(runtime, &erasures_),
        background_(
            {.prepare =
                 [this, runtime] {
                   const auto until = std::chrono::system_clock::now() + kMigrationPatience;
                   const absl::Status migrated =
                       ApplyMigrations(&database_, EmbeddedMigrations(), until);
                   if (!migrated.ok()) return migrated;
                   return erasures_.AddKey(erasure::kStore, runtime->signing_key().public_key(),
                                           /*is_follower=*/false, until);
                 },
             .ready = [runtime] { runtime->SetReady(true); },
             .chores = {{kChoreInterval, [this] { return memories_.Sweep().status(); }},
                        {kChoreInterval, [this] { return erasures_.RenewConnections(); }},
                        {kChoreInterval,
                         [this, timeout = absl::FromChrono(ToMillis(config.outcome_timeout()))] {
                           return audit_.CloseAbandoned(timeout).status();
                         }},
                        {kStatisticsInterval,
                         [this] {
                           return RefreshStatistics(&database_, std::chrono::system_clock::now() +
                                                                    kStatisticsPatience)
                               .status();
                         }}}},
            Background::Options()) {
    runtime->SetKeyVerifier(MakeKeyVerifier(&tenants_));
  }

  std::vector<grpc::Service*> services() override {
    return {&service_, &audit_service_, &data_key_service_, &tenant_service_, &erasure_service_};
  }
  absl::Status Start() override { return background_.Start(); }
  void Drain() override {
    signal_.Stop();
    background_.Stop();
  }

 private:
  Database database_;
  FeedSignal signal_;
  PostgresMemoryRepository memories_;
  PostgresConversationRepository conversations_;
  PostgresFeedSource feed_;
  FeedFollower follower_;
  PostgresAuditRepository audit_;
  DataKeyStore data_keys_;
  PostgresTenantRepository tenants_;
  ErasureRepository erasures_;
  MemoryStoreService service_;
  AuditService audit_service_;
  DataKeyService data_key_service_;
  TenantService tenant_service_;
  ErasureService erasure_service_;
  Background background_;
};

absl::Status Validate(const config::v1::MemoryStoreServer& config) {
  if (config.database().empty()) return InvalidArgument("database: must be set");
  if (config.pool_size() < 1 || config.pool_size() > kMaxPoolSize) {
    return InvalidArgument("pool_size: %d, must be 1 to %d", config.pool_size(), kMaxPoolSize);
  }
  if (ToMillis(config.statement_timeout()).count() < 1) {
    return InvalidArgument("statement_timeout: must be at least 1ms");
  }
  if (ToMillis(config.outcome_timeout()).count() < 1) {
    return InvalidArgument("outcome_timeout: must be at least 1ms");
  }
  return absl::OkStatus();
}

}  // namespace

config::v1::MemoryStoreServer DefaultConfig() {
  config::v1::MemoryStoreServer config;
  *config.mutable_server() = rpc::DefaultServer(kPort);
  config.set_database("dbname=dki");
  config.set_pool_size(16);
  config.mutable_statement_timeout()->set_seconds(5);
  config.mutable_outcome_timeout()->set_seconds(600);
  return config;
}

absl::StatusOr<std::unique_ptr<rpc::ServiceInstance>> BuildMemoryStoreServer(
    const config::v1::MemoryStoreServer& config, rpc::ServiceRuntime* runtime) {
  DKI_RETURN_IF_ERROR(Validate(config));
  return std::make_unique<MemoryStoreServer>(config, runtime);
}

}  // namespace dki::memory_store
