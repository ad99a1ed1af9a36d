// SPDX-License-Identifier: Apache-2.0
// Purpose: what is known of erasures after they were acknowledged: who must report, who has, and
//   which keys sign. (They begin in erasure_transaction.h.)
// Thread-safety: thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dki/erasure/v1/erasure_service.pb.h"
#include "libs/base/clock.h"
#include "services/memory_store/database.h"

namespace dki::memory_store {

class ErasureRepository {
 public:
  using Deadline = Database::Deadline;

  ErasureRepository(Database* database, const Clock* clock) : database_(database), clock_(clock) {}

  struct Report {
    std::string service;
    std::optional<erasure::v1::SignedBytes> bytes;  // nullopt: not yet
  };
  struct Stored {
    erasure::v1::ErasureStatement statement;  // without parts
    std::vector<Report> reports;              // by service
  };
  // Of any tenant where `tenant_id` is empty. NOT_FOUND.
  absl::StatusOr<Stored> Get(const std::string& tenant_id, const std::string& id,
                             Deadline deadline);
  absl::StatusOr<erasure::v1::ListDueErasuresResponse> ListDue(const std::string& service,
                                                               Deadline deadline);
  // The first one stays. INVALID_ARGUMENT unless it is signed by a key of its service, NOT_FOUND
  // when none is expected.
  absl::Status AddReport(const erasure::v1::SignedBytes& report, Deadline deadline);

  // A key of a service (of memory_store itself, too). The service is a follower from then on, from
  // which every later erasure expects a report.
  absl::Status AddKey(const std::string& service, const std::string& public_key, bool is_follower,
                      Deadline deadline);
  absl::StatusOr<std::vector<erasure::v1::PublicKey>> ListKeys(Deadline deadline);
  // Lets go of what database connections still hold of erased texts, where there was an erasure
  // since the last time. For every minute.
  absl::Status RenewConnections();
  // Nothing is expected of it any more. NOT_FOUND.
  absl::Status RemoveFollower(const std::string& service, Deadline deadline);

 private:
  Database* const database_;
  const Clock* const clock_;
  // Of the newest erasure that has been seen. RenewConnections alone uses it.
  int64_t newest_us_ = 0;
};

}  // namespace dki::memory_store
