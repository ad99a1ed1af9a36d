// SPDX-License-Identifier: Apache-2.0
// Purpose: an erasure, as far as it happens in PostgreSQL: everything goes in the transaction that
// is
//   acknowledged, and the rows of the erasure itself say what went and who must still report.
//   Who attended to what is known from the decisions: a decision commits under the lock of the
//   tenant's chain, and so does an erasure. So every decision is either found here, or commits
//   later and is told that the memory has gone (AppendDecisionRequest.only_current). pqxx's
//   exceptions pass through; Database::Transact converts them.
#pragma once

#include <cstdint>
#include <pqxx/pqxx>
#include <string>
#include <vector>

#include "dki/erasure/v1/erasure.pb.h"
#include "services/memory_store/postgres_rows.h"

namespace dki::memory_store {

struct ErasureResult {
  std::string id;  // "era_" and 32 hexadecimal digits
  int64_t memories = 0;
  int64_t conversations = 0;  // of the scope, deleted
  int64_t data_keys = 0;      // destroyed
  // Others that attended to the memories.
  std::vector<std::string> attended;
};

// Erases a memory or a scope and appends to the feed. REQUIRES: `target` names one of them, and the
// feed's head has been locked.
ErasureResult Erase(pqxx::work& work, const std::string& tenant_id,
                    const erasure::v1::ErasureTarget& target, int64_t now_us, LockedFeed* feed);

// Erases all that a tenant owns but its keys and its audit log, which the caller erases next (and
// which is counted here). Returns the erasure's id.
std::string EraseTenant(pqxx::work& work, const std::string& tenant_id, int64_t now_us);

}  // namespace dki::memory_store
