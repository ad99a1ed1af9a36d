// SPDX-License-Identifier: Apache-2.0
// Purpose: the sealed data keys of tenants and their users (data_key_service.proto) in PostgreSQL.
// Thread-safety: thread-safe.
#pragma once

#include <cstdint>
#include <pqxx/pqxx>
#include <string>

#include "dki/memory/v1/data_key_service.pb.h"
#include "libs/base/clock.h"
#include "libs/base/status.h"
#include "services/memory_store/database.h"

namespace dki::memory_store {

// In the transaction that erases the user. Returns how many there were. (The tenant's go in
// EraseTenantMemories.)
int64_t DestroyUserDataKeys(pqxx::work& work, const std::string& tenant_id,
                            const std::string& user_id);

class DataKeyStore {
 public:
  using Deadline = Database::Deadline;

  DataKeyStore(Database* database, const Clock* clock) : database_(database), clock_(clock) {}

  // The key of that user and wrapping key; `proposed` when there was none. NOT_FOUND: the tenant
  // has been erased.
  absl::StatusOr<memory::v1::DataKey> GetOrCreate(const std::string& tenant_id,
                                                  const memory::v1::DataKey& proposed,
                                                  Deadline deadline);
  // NOT_FOUND.
  absl::StatusOr<memory::v1::DataKey> Get(const std::string& tenant_id, const std::string& key_id,
                                          Deadline deadline);
  absl::StatusOr<int64_t> DestroyUser(const std::string& tenant_id, const std::string& user_id,
                                      Deadline deadline);

 private:
  Database* const database_;
  const Clock* const clock_;
};

}  // namespace dki::memory_store
