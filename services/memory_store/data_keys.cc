// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/data_keys.h"

#include "services/memory_store/postgres_rows.h"

namespace dki::memory_store {
namespace {

using memory::v1::DataKey;

constexpr Statement kInsert{
    "insert_data_key",
    "INSERT INTO data_keys (tenant_id, user_id, wrapping_key, key_id, wrapped, create_us) VALUES "
    "($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, user_id, wrapping_key) DO NOTHING"};
constexpr Statement kFind{
    "find_data_key",
    "SELECT user_id, wrapping_key, key_id, wrapped FROM data_keys WHERE tenant_id = $1 AND user_id "
    "= $2 AND wrapping_key = $3"};
constexpr Statement kGet{
    "get_data_key",
    "SELECT user_id, wrapping_key, key_id, wrapped FROM data_keys WHERE tenant_id = $1 AND key_id "
    "= $2"};
constexpr Statement kDestroyUser{"destroy_user_data_keys",
                                 "DELETE FROM data_keys WHERE tenant_id = $1 AND user_id = $2"};

DataKey Read(const pqxx::row& row) {
  DataKey key;
  key.set_user_id(row[0].as<std::string>());
  key.set_wrapping_key(row[1].as<std::string>());
  key.set_key_id(pqxx::binarystring(row[2]).str());
  key.set_wrapped(pqxx::binarystring(row[3]).str());
  return key;
}

}  // namespace

int64_t DestroyUserDataKeys(pqxx::work& work, const std::string& tenant_id,
                            const std::string& user_id) {
  return static_cast<int64_t>(Exec(work, kDestroyUser, tenant_id, user_id).affected_rows());
}

absl::StatusOr<DataKey> DataKeyStore::GetOrCreate(const std::string& tenant_id,
                                                  const DataKey& proposed, Deadline deadline) {
  DataKey key;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) -> absl::Status {
    // An erasure comes before this, or after it and takes the key, too.
    DKI_RETURN_IF_ERROR(HoldTenant(work, tenant_id));
    Exec(work, kInsert, tenant_id, proposed.user_id(), proposed.wrapping_key(),
         pqxx::binarystring(proposed.key_id()), pqxx::binarystring(proposed.wrapped()),
         absl::ToUnixMicros(clock_->Now()));
    const pqxx::result found =
        Exec(work, kFind, tenant_id, proposed.user_id(), proposed.wrapping_key());
    if (found.empty()) return Aborted("the key was destroyed meanwhile");
    key = Read(found[0]);
    return absl::OkStatus();
  }));
  return key;
}

absl::StatusOr<DataKey> DataKeyStore::Get(const std::string& tenant_id, const std::string& key_id,
                                          Deadline deadline) {
  DataKey key;
  DKI_RETURN_IF_ERROR(database_->Read(deadline, [&](pqxx::transaction_base& work) -> absl::Status {
    const pqxx::result found = Exec(work, kGet, tenant_id, pqxx::binarystring(key_id));
    if (found.empty()) return NotFound("there is no such data key: it was destroyed");
    key = Read(found[0]);
    return absl::OkStatus();
  }));
  return key;
}

absl::StatusOr<int64_t> DataKeyStore::DestroyUser(const std::string& tenant_id,
                                                  const std::string& user_id, Deadline deadline) {
  int64_t destroyed = 0;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
    destroyed = DestroyUserDataKeys(work, tenant_id, user_id);
    return absl::OkStatus();
  }));
  return destroyed;
}

}  // namespace dki::memory_store
