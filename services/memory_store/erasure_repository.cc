// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/erasure_repository.h"

#include "libs/erasure/receipt.h"
#include "services/memory_store/erasure_statements.h"

namespace dki::memory_store {
namespace {

constexpr int kMaxDue = 100;
constexpr std::chrono::seconds kChoreTimeout{30};

std::string Bytes(const pqxx::field& field) {
  return pqxx::binarystring(field).str();
}

absl::Status ErasureNotFound(const std::string& id) {
  return NotFound("erasure %s", id);
}

}  // namespace

absl::StatusOr<ErasureRepository::Stored> ErasureRepository::Get(const std::string& tenant_id,
                                                                 const std::string& id,
                                                                 Deadline deadline) {
  Stored stored;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) -> absl::Status {
    stored = Stored();
    const pqxx::result found = Exec(work, kGetErasure, id, tenant_id);
    if (found.empty()) return ErasureNotFound(id);
    if (!stored.statement.ParseFromString(Bytes(found[0][0]))) {
      return DataLoss("erasure %s does not parse", id);
    }
    for (const pqxx::row& row : Exec(work, kListReports, id)) {
      Report& report = stored.reports.emplace_back();
      report.service = row[0].c_str();
      if (row[1].is_null()) continue;
      report.bytes.emplace();
      report.bytes->set_payload(Bytes(row[1]));
      report.bytes->set_signature(Bytes(row[2]));
    }
    return absl::OkStatus();
  }));
  return stored;
}

absl::StatusOr<erasure::v1::ListDueErasuresResponse> ErasureRepository::ListDue(
    const std::string& service, Deadline deadline) {
  erasure::v1::ListDueErasuresResponse response;
  DKI_RETURN_IF_ERROR(database_->Read(deadline, [&](pqxx::transaction_base& work) {
    response.Clear();
    for (const pqxx::row& row : Exec(work, kListDue, service, kMaxDue)) {
      auto* due = response.add_due();
      due->set_erasure_id(row[0].c_str());
      due->set_tenant_id(row[1].c_str());
      due->set_after_position(row[2].as<int64_t>());
      due->set_position(row[3].as<int64_t>());
      due->set_drop_contexts(row[4].as<bool>());
    }
    return absl::OkStatus();
  }));
  return response;
}

absl::Status ErasureRepository::AddReport(const erasure::v1::SignedBytes& bytes,
                                          Deadline deadline) {
  erasure::v1::ServiceReport report;
  if (!report.ParseFromString(bytes.payload())) return InvalidArgument("report: does not parse");
  return database_->Transact(deadline, [&](pqxx::work& work) -> absl::Status {
    erasure::Keyring keys;
    for (const pqxx::row& row : Exec(work, kFindKeys, report.service())) {
      keys.emplace_back().set_service(report.service());
      keys.back().set_key(Bytes(row[0]));
    }
    if (!erasure::IsSigned(keys, report.service(), bytes)) {
      return InvalidArgument("report: not signed by a key of %s", report.service());
    }
    const auto stored =
        Exec(work, kStoreReport, report.erasure_id(), report.service(),
             pqxx::binarystring(bytes.payload()), pqxx::binarystring(bytes.signature()));
    return stored.affected_rows() > 0 ? absl::OkStatus() : ErasureNotFound(report.erasure_id());
  });
}

absl::Status ErasureRepository::AddKey(const std::string& service, const std::string& public_key,
                                       bool is_follower, Deadline deadline) {
  const int64_t now_us = absl::ToUnixMicros(clock_->Now());
  return database_->Transact(deadline, [&](pqxx::work& work) {
    Exec(work, kAddSigningKey, service, pqxx::binarystring(public_key), now_us);
    if (is_follower) Exec(work, kAddFollower, service, now_us);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<erasure::v1::PublicKey>> ErasureRepository::ListKeys(Deadline deadline) {
  std::vector<erasure::v1::PublicKey> keys;
  DKI_RETURN_IF_ERROR(database_->Read(deadline, [&](pqxx::transaction_base& work) {
    keys.clear();
    for (const pqxx::row& row : Exec(work, kListSigningKeys)) {
      keys.emplace_back().set_service(row[0].c_str());
      keys.back().set_key(Bytes(row[1]));
    }
    return absl::OkStatus();
  }));
  return keys;
}

absl::Status ErasureRepository::RenewConnections() {
  int64_t newest_us = 0;
  const auto deadline = std::chrono::system_clock::now() + kChoreTimeout;
  DKI_RETURN_IF_ERROR(database_->Read(deadline, [&](pqxx::transaction_base& work) {
    newest_us = Exec(work, kNewestErasure)[0][0].as<int64_t>();
    return absl::OkStatus();
  }));
  if (newest_us != newest_us_) database_->RenewConnections();
  newest_us_ = newest_us;
  return absl::OkStatus();
}

absl::Status ErasureRepository::RemoveFollower(const std::string& service, Deadline deadline) {
  return database_->Transact(deadline, [&](pqxx::work& work) -> absl::Status {
    if (Exec(work, kRemoveFollower, service).affected_rows() == 0) {
      return NotFound("nobody follows the feed as %s", service);
    }
    Exec(work, kExpectNothing, service);
    return absl::OkStatus();
  });
}

}  // namespace dki::memory_store
