// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/postgres_audit_repository.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "services/memory_store/audit_chain.h"
#include "services/memory_store/audit_rules.h"
#include "services/memory_store/audit_statements.h"
#include "services/memory_store/memory_rules.h"
#include "services/memory_store/memory_statements.h"
#include "services/memory_store/page_token.h"
#include "services/memory_store/postgres_rows.h"
#include "services/memory_store/validate.h"

namespace dki::memory_store {
namespace {

constexpr int kLinksPerRead = 500;
constexpr int kClosedPerTransaction = 500;
// Rows are read in parts, so that a page of long texts is not held twice.
constexpr int kDecisionsPerRead = 20;
constexpr std::chrono::seconds kSweepTimeout{30};

std::string Bytes(const pqxx::field& field) {
  return pqxx::binarystring(field).str();
}

std::optional<std::string> OptionalBytes(const pqxx::field& field) {
  if (field.is_null()) return std::nullopt;
  return Bytes(field);
}

// The tenant's chain while this transaction holds its lock: nobody else appends until the commit.
class LockedChain {
 public:
  // Waits for the lock. NOT_FOUND when the tenant has been erased.
  static absl::StatusOr<LockedChain> Lock(pqxx::work& work, const std::string& tenant_id) {
    pqxx::result head = Exec(work, kLockChain, tenant_id);
    if (head.empty()) {
      Exec(work, kMakeChain, tenant_id, pqxx::binarystring(EmptyChain(tenant_id).hash));
      head = Exec(work, kLockChain, tenant_id);
    }
    if (head[0][2].as<bool>()) return TenantNotFound(tenant_id);
    return LockedChain(tenant_id,
                       {.sequence = head[0][0].as<int64_t>(), .hash = Bytes(head[0][1])});
  }

  // Returns the new link's sequence.
  int64_t Append(pqxx::work& work, const char* kind, const std::string& decision_id,
                 const std::string& user_id, std::string payload) {
    const audit::v1::ChainLink link = NextLink(head_, kind, decision_id, std::move(payload));
    Exec(work, kAppendLink, tenant_id_, link.sequence(), link.kind(), decision_id, user_id,
         pqxx::binarystring(link.payload()), pqxx::binarystring(link.previous_hash()),
         pqxx::binarystring(link.hash()));
    head_ = {.sequence = link.sequence(), .hash = link.hash()};
    return head_.sequence;
  }

 private:
  LockedChain(std::string tenant_id, ChainHead head)
      : tenant_id_(std::move(tenant_id)), head_(std::move(head)) {}

  std::string tenant_id_;
  ChainHead head_;
};

// REQUIRES: the chain is locked.
pqxx::result FindLink(pqxx::work& work, const std::string& tenant_id,
                      const std::string& decision_id, const char* kind) {
  return Exec(work, kFindLink, tenant_id, decision_id, std::string(kind));
}

void InsertTexts(pqxx::work& work, const std::string& tenant_id, const std::string& decision_id,
                 const google::protobuf::RepeatedPtrField<audit::v1::SideText>& texts) {
  for (const audit::v1::SideText& text : texts) {
    Exec(work, kInsertText, tenant_id, decision_id, text.kind(),
         pqxx::binarystring(SaltedText(text)));
  }
}

std::string ChosenIds(const audit::v1::DecisionRecord& record) {
  google::protobuf::RepeatedPtrField<std::string> ids;
  for (const auto& memory : record.chosen()) *ids.Add() = memory.memory_id();
  return ToTextArray(ids);
}

std::string ChosenVersions(const audit::v1::DecisionRecord& record) {
  google::protobuf::RepeatedPtrField<std::string> versions;
  for (const auto& memory : record.chosen()) *versions.Add() = std::to_string(memory.version());
  return ToTextArray(versions);
}

// Columns: DKI_DECISION_COLUMNS.
StoredDecision ReadDecision(const pqxx::row& row) {
  return {.decision_payload = Bytes(row[0]),
          .outcome_payload = OptionalBytes(row[1]),
          .query = OptionalBytes(row[2]),
          .answer = OptionalBytes(row[3])};
}

// Columns: kReadLinks.
StoredLink ReadLink(const pqxx::row& row) {
  StoredLink stored;
  stored.link.set_sequence(row[0].as<int64_t>());
  stored.link.set_kind(row[1].as<std::string>());
  stored.link.set_decision_id(row[2].as<std::string>());
  stored.link.set_payload(Bytes(row[3]));
  stored.link.set_previous_hash(Bytes(row[4]));
  stored.link.set_hash(Bytes(row[5]));
  stored.user_id = row[6].as<std::string>();
  stored.salted_text = OptionalBytes(row[7]);
  return stored;
}

// Closes the oldest of the tenant's decisions that are open since `until_us` or longer.
absl::StatusOr<int> CloseSome(pqxx::work& work, const std::string& tenant_id, int64_t until_us,
                              absl::Time now) {
  const absl::StatusOr<LockedChain> locked = LockedChain::Lock(work, tenant_id);
  if (absl::IsNotFound(locked.status())) return 0;
  DKI_ASSIGN_OR_RETURN(LockedChain chain, locked);
  const pqxx::result open =
      Exec(work, kAbandonedDecisions, tenant_id, until_us, kClosedPerTransaction);
  for (const pqxx::row& row : open) {
    const auto decision_id = row[0].as<std::string>();
    chain.Append(work, kOutcomeKind, decision_id, "",
                 UnknownOutcome(decision_id, now).SerializeAsString());
    Exec(work, kDeleteOpen, tenant_id, decision_id);
  }
  return static_cast<int>(open.size());
}

}  // namespace

absl::StatusOr<int64_t> PostgresAuditRepository::AppendDecision(
    const Access& access, const audit::v1::AppendDecisionRequest& request) {
  const audit::v1::DecisionRecord& record = request.decision();
  const std::string payload = record.SerializeAsString();
  const int64_t now_us = absl::ToUnixMicros(clock_->Now());
  int64_t sequence = 0;
  DKI_RETURN_IF_ERROR(database_->Transact(access.deadline, [&](pqxx::work& work) -> absl::Status {
    DKI_ASSIGN_OR_RETURN(LockedChain chain, LockedChain::Lock(work, access.tenant_id));
    const pqxx::result found =
        FindLink(work, access.tenant_id, record.decision_id(), kDecisionKind);
    if (!found.empty()) {
      sequence = found[0][0].as<int64_t>();
      return Bytes(found[0][1]) == payload ? absl::OkStatus()
                                           : DecisionDiffers(record.decision_id());
    }
    sequence =
        chain.Append(work, kDecisionKind, record.decision_id(), record.scope().user_id(), payload);
    const pqxx::row there =
        Exec(work, kInsertOpen, access.tenant_id, record.decision_id(), now_us,
             record.conversation_id(), record.scope().user_id(), record.scope().session_id(),
             record.scope().agent_id(), ChosenIds(record), ChosenVersions(record))[0];
    if (request.only_current() && there[0].as<int64_t>() != there[1].as<int64_t>()) {
      return MemoriesChanged(record.decision_id());
    }
    InsertTexts(work, access.tenant_id, record.decision_id(), request.texts());
    return absl::OkStatus();
  }));
  return sequence;
}

absl::StatusOr<int64_t> PostgresAuditRepository::AppendOutcome(
    const Access& access, const audit::v1::AppendOutcomeRequest& request) {
  const std::string& decision_id = request.outcome().decision_id();
  const std::string payload = request.outcome().SerializeAsString();
  int64_t sequence = 0;
  DKI_RETURN_IF_ERROR(database_->Transact(access.deadline, [&](pqxx::work& work) -> absl::Status {
    DKI_ASSIGN_OR_RETURN(LockedChain chain, LockedChain::Lock(work, access.tenant_id));
    const pqxx::result open = Exec(work, kDeleteOpen, access.tenant_id, decision_id);
    if (open.empty()) {  // closed before, or never opened
      const pqxx::result found = FindLink(work, access.tenant_id, decision_id, kOutcomeKind);
      if (found.empty()) return OutcomeWithoutDecision(decision_id);
      sequence = found[0][0].as<int64_t>();
      return absl::OkStatus();
    }
    sequence = chain.Append(work, kOutcomeKind, decision_id, "", payload);
    if (!open[0][0].as<bool>()) {
      InsertTexts(work, access.tenant_id, decision_id, request.texts());
    }
    return absl::OkStatus();
  }));
  return sequence;
}

absl::StatusOr<audit::v1::Decision> PostgresAuditRepository::GetDecision(
    const Access& access, const std::string& decision_id) {
  StoredDecision stored;
  DKI_RETURN_IF_ERROR(database_->Transact(access.deadline, [&](pqxx::work& work) -> absl::Status {
    const pqxx::result found = Exec(work, kGetDecision, access.tenant_id, decision_id);
    if (found.empty()) return DecisionNotFound(decision_id);
    stored = ReadDecision(found[0]);
    return absl::OkStatus();
  }));
  return ParseDecision(stored);
}

absl::StatusOr<audit::v1::ListDecisionsResponse> PostgresAuditRepository::ListDecisions(
    const Access& access, const audit::v1::ListDecisionsRequest& request) {
  const int page_size = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  const std::string binding = PageBinding(access.tenant_id, request);
  audit::v1::ListDecisionsResponse response;
  const auto read_page = [&](pqxx::work& work) -> absl::Status {
    response.Clear();
    const PageTokens tokens(Bytes(Exec(work, kPageSecret)[0][0]));
    int64_t before = std::numeric_limits<int64_t>::max();
    if (!request.page_token().empty()) {
      DKI_ASSIGN_OR_RETURN(before, tokens.Decode(binding, request.page_token()));
    }
    const int limit = std::min(page_size + 1, kDecisionsPerRead);
    int64_t size = 0;
    while (true) {
      const pqxx::result rows =
          Exec(work, kListDecisions, access.tenant_id, before, request.user_id(), limit);
      for (const pqxx::row& row : rows) {
        const StoredDecision stored = ReadDecision(row);
        size += stored.SizeBytes();
        const int n = response.decisions_size();
        if (n == page_size || (n > 0 && size > kMaxPageBytes)) {
          response.set_next_page_token(tokens.Encode(binding, before));
          return absl::OkStatus();
        }
        DKI_ASSIGN_OR_RETURN(*response.add_decisions(), ParseDecision(stored));
        before = row[4].as<int64_t>();
      }
      if (static_cast<int>(rows.size()) < limit) return absl::OkStatus();
    }
  };
  DKI_RETURN_IF_ERROR(database_->Transact(access.deadline, read_page));
  return response;
}

absl::StatusOr<audit::v1::VerifyChainResponse> PostgresAuditRepository::VerifyChain(
    const Access& access) {
  audit::v1::VerifyChainResponse response;
  DKI_RETURN_IF_ERROR(database_->Transact(access.deadline, [&](pqxx::work& work) {
    // One snapshot for all reads: the chain grows meanwhile.
    work.exec("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY");
    ChainHead head = EmptyChain(access.tenant_id);
    const pqxx::result stored_head = Exec(work, kReadChain, access.tenant_id);
    if (!stored_head.empty()) {
      head = {.sequence = stored_head[0][0].as<int64_t>(), .hash = Bytes(stored_head[0][1])};
    }
    const auto n_texts = Exec(work, kCountTexts, access.tenant_id)[0][0].as<int64_t>();
    ChainVerifier verifier(access.tenant_id, head, n_texts);
    int64_t after = std::numeric_limits<int64_t>::min();
    bool more = true;
    while (more) {
      const pqxx::result rows = Exec(work, kReadLinks, access.tenant_id, after, kLinksPerRead);
      for (const pqxx::row& row : rows) {
        const StoredLink link = ReadLink(row);
        after = link.link.sequence();
        if (!verifier.Add(link)) break;
      }
      more = rows.size() == kLinksPerRead && verifier.holds();
    }
    response = verifier.Finish();
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<int64_t> PostgresAuditRepository::EraseTexts(const Access& access,
                                                            const std::string& decision_id) {
  int64_t n_erased = 0;
  DKI_RETURN_IF_ERROR(database_->Transact(access.deadline, [&](pqxx::work& work) -> absl::Status {
    // The lock keeps an outcome from leaving its text between the two statements.
    DKI_RETURN_IF_ERROR(LockedChain::Lock(work, access.tenant_id).status());
    if (FindLink(work, access.tenant_id, decision_id, kDecisionKind).empty()) {
      return DecisionNotFound(decision_id);
    }
    Exec(work, kMarkOpen, access.tenant_id, decision_id);
    Exec(work, kMarkTextsErased, access.tenant_id, decision_id);
    n_erased = static_cast<int64_t>(
        Exec(work, kDeleteTexts, access.tenant_id, decision_id).affected_rows());
    return absl::OkStatus();
  }));
  return n_erased;
}

absl::StatusOr<int64_t> PostgresAuditRepository::CloseAbandoned(absl::Duration timeout) {
  const absl::Time now = clock_->Now();
  const int64_t until_us = absl::ToUnixMicros(now - timeout);
  const auto deadline = std::chrono::system_clock::now() + kSweepTimeout;
  std::vector<std::string> tenants;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
    tenants.clear();
    for (const pqxx::row& row : Exec(work, kAbandonedTenants, until_us)) {
      tenants.push_back(row[0].as<std::string>());
    }
    return absl::OkStatus();
  }));
  int64_t n_closed = 0;
  for (const std::string& tenant_id : tenants) {
    int n = 0;
    do {
      DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) -> absl::Status {
        DKI_ASSIGN_OR_RETURN(n, CloseSome(work, tenant_id, until_us, now));
        return absl::OkStatus();
      }));
      n_closed += n;
    } while (n == kClosedPerTransaction);
  }
  return n_closed;
}

void EraseTenantAudit(pqxx::work& work, const std::string& tenant_id) {
  // First the head: its lock keeps the tenant's writers out until the erasure is committed.
  Exec(work, kEraseChain, tenant_id, pqxx::binarystring(EmptyChain(tenant_id).hash));
  Exec(work, kEraseAuditTexts, tenant_id);
  Exec(work, kEraseOpen, tenant_id);
  Exec(work, kEraseDecisions, tenant_id);
  Exec(work, kEraseAttended, tenant_id);
  Exec(work, kEraseLinks, tenant_id);
}

void OpenTenantAudit(pqxx::work& work, const std::string& tenant_id) {
  Exec(work, kOpenChain, tenant_id, pqxx::binarystring(EmptyChain(tenant_id).hash));
}

}  // namespace dki::memory_store
