// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/audit_log.h"

#include <google/protobuf/util/time_util.h>

#include "absl/time/time.h"
#include "libs/base/strings.h"
#include "services/memory_store/audit_chain.h"
#include "services/memory_store/page_token.h"

namespace dki::memory_store {
namespace {

using google::protobuf::util::TimeUtil;

constexpr int kDefaultPageSize = 50;
constexpr int kVerifyBatch = 500;

constexpr Statement kLockHead{
    "audit_lock_head", "SELECT sequence, hash FROM audit_heads WHERE tenant_id = $1 FOR UPDATE"};
constexpr Statement kFirstHead{"audit_first_head",
                               "INSERT INTO audit_heads VALUES ($1, 0, '') ON CONFLICT DO NOTHING"};
constexpr Statement kMoveHead{
    "audit_move_head", "UPDATE audit_heads SET sequence = $2, hash = $3 WHERE tenant_id = $1"};
constexpr Statement kFindLink{
    "audit_find_link",
    "SELECT sequence FROM audit_links WHERE tenant_id = $1 AND decision_id = $2 AND kind = $3"};
constexpr Statement kAddLink{"audit_add_link",
                             "INSERT INTO audit_links VALUES ($1, $2, $3, $4, $5, $6, $7)"};
constexpr Statement kAddDecision{"audit_add_decision",
                                 "INSERT INTO audit_decisions VALUES ($1, $2, $3, $4, $5)"};
constexpr Statement kCloseDecision{
    "audit_close_decision",
    "UPDATE audit_decisions SET closed = true WHERE tenant_id = $1 AND decision_id = $2"};
constexpr Statement kAddText{
    "audit_add_text", "INSERT INTO audit_texts VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"};
constexpr Statement kPayloads{
    "audit_payloads",
    "SELECT kind, payload FROM audit_links WHERE tenant_id = $1 AND decision_id = $2"};
constexpr Statement kTexts{
    "audit_texts",
    "SELECT kind, salt, text FROM audit_texts WHERE tenant_id = $1 AND decision_id = $2"};
constexpr Statement kList{
    "audit_list",
    "SELECT sequence, decision_id FROM audit_decisions WHERE tenant_id = $1 AND sequence < $2 "
    "AND ($3 = '' OR user_id = $3) ORDER BY sequence DESC LIMIT $4"};
constexpr Statement kLinks{
    "audit_links",
    "SELECT sequence, kind, decision_id, payload, previous_hash, hash FROM audit_links "
    "WHERE tenant_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"};
constexpr Statement kHead{"audit_head",
                          "SELECT sequence, hash FROM audit_heads WHERE tenant_id = $1"};
constexpr Statement kCountOpen{
    "audit_count_open", "SELECT count(*) FROM audit_decisions WHERE tenant_id = $1 AND NOT closed"};
constexpr Statement kEraseTexts{"audit_erase_texts",
                                "UPDATE audit_texts SET salt = NULL, text = NULL "
                                "WHERE tenant_id = $1 AND decision_id = $2 AND text IS NOT NULL"};
constexpr Statement kAbandoned{"audit_abandoned",
                               "SELECT tenant_id, decision_id FROM audit_decisions WHERE NOT "
                               "closed AND create_us < $1 LIMIT 1000"};
constexpr Statement kSecret{"audit_page_secret",
                            "SELECT value FROM secrets WHERE name = 'page_token'"};

// bytea that may be empty (pqxx::binarystring must not be).
std::string Bytes(const pqxx::field& field) {
  return field.is_null() ? "" : pqxx::binarystring(field).str();
}

// Rows hold one more byte than the hash, so that none is ever empty: the first link has no hash
// before it.
constexpr char kMark = 'h';
pqxx::binarystring Marked(const std::string& bytes) {
  return pqxx::binarystring(kMark + bytes);
}
std::string Unmarked(const pqxx::field& field) {
  const std::string bytes = Bytes(field);
  return bytes.empty() ? "" : bytes.substr(1);
}

// Appends a link to the tenant's chain. REQUIRES: the head is locked.
int64_t Append(pqxx::work& work, const std::string& tenant_id, ChainLink link,
               const pqxx::row& head) {
  link.sequence = head[0].as<int64_t>() + 1;
  link.previous_hash = Unmarked(head[1]);
  link.hash = LinkHash(link);
  Exec(work, kAddLink, tenant_id, link.sequence, link.kind, link.decision_id, Marked(link.payload),
       Marked(link.previous_hash), Marked(link.hash));
  Exec(work, kMoveHead, tenant_id, link.sequence, Marked(link.hash));
  return link.sequence;
}

pqxx::row LockHead(pqxx::work& work, const std::string& tenant_id) {
  Exec(work, kFirstHead, tenant_id);
  return Exec(work, kLockHead, tenant_id)[0];
}

// Each text must be the one whose hash the record names.
absl::Status CheckTexts(const AuditLog::Texts& texts, const std::string& kind,
                        const std::string& hash) {
  for (const auto& text : texts) {
    if (text.kind() != kind)
      return InvalidArgument("texts.kind is '%s', must be '%s' here", text.kind(), kind);
    if (text.salt().empty()) return InvalidArgument("texts.salt is empty");
    if (TextHash(text.salt(), text.text()) != hash)
      return InvalidArgument("the record does not name the hash of the %s text", kind);
  }
  return absl::OkStatus();
}

void AddTexts(pqxx::work& work, const std::string& tenant_id, const std::string& decision_id,
              const AuditLog::Texts& texts) {
  for (const auto& text : texts) {
    Exec(work, kAddText, tenant_id, decision_id, text.kind(), pqxx::binarystring(text.salt()),
         text.text());
  }
}

absl::StatusOr<audit::v1::Decision> Load(pqxx::work& work, const std::string& tenant_id,
                                         const std::string& decision_id) {
  audit::v1::Decision decision;
  for (const pqxx::row& row : Exec(work, kPayloads, tenant_id, decision_id)) {
    const std::string payload = Unmarked(row[1]);
    const bool parsed = row[0].as<std::string>() == kDecisionKind
                            ? decision.mutable_decision()->ParseFromString(payload)
                            : decision.mutable_outcome()->ParseFromString(payload);
    if (!parsed) return DataLoss("the record of decision %s does not parse", decision_id);
  }
  if (!decision.has_decision()) return NotFound("decision %s", decision_id);
  for (const pqxx::row& row : Exec(work, kTexts, tenant_id, decision_id)) {
    if (row[2].is_null()) continue;
    (row[0].as<std::string>() == "query" ? decision.mutable_query_text()
                                         : decision.mutable_answer_text())
        ->assign(row[2].as<std::string>());
  }
  return decision;
}

// The text beside a link, against the hash that the link's record holds. Empty: right, or erased.
std::string CheckText(pqxx::work& work, const std::string& tenant_id, const ChainLink& link,
                      audit::v1::VerifyChainResponse* counts) {
  std::string hash;
  std::string kind;
  if (link.kind == kDecisionKind) {
    audit::v1::DecisionRecord record;
    if (!record.ParseFromString(link.payload)) return "its record does not parse";
    hash = record.query_hash();
    kind = "query";
  } else {
    audit::v1::OutcomeRecord record;
    if (!record.ParseFromString(link.payload)) return "its record does not parse";
    hash = record.answer_hash();
    kind = "answer";
  }
  if (hash.empty()) return "";
  for (const pqxx::row& row : Exec(work, kTexts, tenant_id, link.decision_id)) {
    if (row[0].as<std::string>() != kind || row[2].is_null()) continue;
    if (TextHash(Bytes(row[1]), row[2].as<std::string>()) != hash)
      return "the " + kind + " text beside it was changed";
    counts->set_n_texts_checked(counts->n_texts_checked() + 1);
    return "";
  }
  counts->set_n_texts_erased(counts->n_texts_erased() + 1);
  return "";
}

}  // namespace

absl::StatusOr<int64_t> AuditLog::AppendDecision(const std::string& tenant_id,
                                                 const audit::v1::DecisionRecord& decision,
                                                 const Texts& texts, Deadline deadline) {
  if (decision.decision_id().empty()) return InvalidArgument("decision.decision_id is empty");
  DKI_RETURN_IF_ERROR(CheckTexts(texts, "query", decision.query_hash()));
  int64_t sequence = 0;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
    const pqxx::row head = LockHead(work, tenant_id);
    const pqxx::result found =
        Exec(work, kFindLink, tenant_id, decision.decision_id(), std::string(kDecisionKind));
    if (!found.empty()) {
      sequence = found[0][0].as<int64_t>();
      return absl::OkStatus();
    }
    ChainLink link;
    link.kind = kDecisionKind;
    link.decision_id = decision.decision_id();
    link.payload = decision.SerializeAsString();
    sequence = Append(work, tenant_id, std::move(link), head);
    Exec(work, kAddDecision, tenant_id, decision.decision_id(), sequence,
         decision.scope().user_id(), absl::ToUnixMicros(clock_->Now()));
    AddTexts(work, tenant_id, decision.decision_id(), texts);
    return absl::OkStatus();
  }));
  return sequence;
}

absl::StatusOr<int64_t> AuditLog::AppendOutcome(const std::string& tenant_id,
                                                const audit::v1::OutcomeRecord& outcome,
                                                const Texts& texts, Deadline deadline) {
  DKI_RETURN_IF_ERROR(CheckTexts(texts, "answer", outcome.answer_hash()));
  int64_t sequence = 0;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
    const pqxx::row head = LockHead(work, tenant_id);
    if (Exec(work, kFindLink, tenant_id, outcome.decision_id(), std::string(kDecisionKind))
            .empty()) {
      return FailedPrecondition("there is no decision %s", outcome.decision_id());
    }
    const pqxx::result found =
        Exec(work, kFindLink, tenant_id, outcome.decision_id(), std::string(kOutcomeKind));
    if (!found.empty()) {
      sequence = found[0][0].as<int64_t>();
      return absl::OkStatus();
    }
    ChainLink link;
    link.kind = kOutcomeKind;
    link.decision_id = outcome.decision_id();
    link.payload = outcome.SerializeAsString();
    sequence = Append(work, tenant_id, std::move(link), head);
    Exec(work, kCloseDecision, tenant_id, outcome.decision_id());
    AddTexts(work, tenant_id, outcome.decision_id(), texts);
    return absl::OkStatus();
  }));
  return sequence;
}

absl::StatusOr<audit::v1::Decision> AuditLog::Get(const std::string& tenant_id,
                                                  const std::string& decision_id,
                                                  Deadline deadline) {
  audit::v1::Decision decision;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) -> absl::Status {
    DKI_ASSIGN_OR_RETURN(decision, Load(work, tenant_id, decision_id));
    return absl::OkStatus();
  }));
  return decision;
}

absl::StatusOr<audit::v1::ListDecisionsResponse> AuditLog::List(
    const std::string& tenant_id, const audit::v1::ListDecisionsRequest& request,
    Deadline deadline) {
  const int page_size = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  if (page_size < 1 || page_size > 1000)
    return InvalidArgument("page_size is %d, must be 1 to 1000", page_size);
  const std::string binding = "decisions/" + tenant_id + "/" + request.user_id();
  audit::v1::ListDecisionsResponse response;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) -> absl::Status {
    response.Clear();
    const PageTokens tokens(Bytes(Exec(work, kSecret)[0][0]));
    int64_t before = std::numeric_limits<int64_t>::max();
    if (!request.page_token().empty()) {
      DKI_ASSIGN_OR_RETURN(before, tokens.Decode(binding, request.page_token()));
    }
    const pqxx::result rows =
        Exec(work, kList, tenant_id, before, request.user_id(), page_size + 1);
    for (const pqxx::row& row : rows) {
      if (response.decisions_size() == page_size) {
        response.set_next_page_token(tokens.Encode(binding, before));
        break;
      }
      before = row[0].as<int64_t>();
      DKI_ASSIGN_OR_RETURN(*response.add_decisions(),
                           Load(work, tenant_id, row[1].as<std::string>()));
    }
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<audit::v1::VerifyChainResponse> AuditLog::Verify(const std::string& tenant_id,
                                                                Deadline deadline) {
  audit::v1::VerifyChainResponse result;
  ChainVerifier verifier;
  const auto broken = [&result](int64_t sequence, const std::string& problem) {
    result.set_broken_sequence(sequence);
    result.set_problem(problem);
  };
  // Taken first: links that are appended meanwhile are left for the next time.
  int64_t head_sequence = 0;
  std::string head_hash;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
    const pqxx::result head = Exec(work, kHead, tenant_id);
    if (!head.empty()) {
      head_sequence = head[0][0].as<int64_t>();
      head_hash = Unmarked(head[0][1]);
    }
    result.set_n_open(Exec(work, kCountOpen, tenant_id)[0][0].as<int64_t>());
    return absl::OkStatus();
  }));
  while (verifier.n_links() < head_sequence && result.problem().empty()) {
    std::vector<ChainLink> links;
    DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
      links.clear();
      for (const pqxx::row& row : Exec(work, kLinks, tenant_id, verifier.n_links(), kVerifyBatch)) {
        links.push_back({row[0].as<int64_t>(), row[1].as<std::string>(), row[2].as<std::string>(),
                         Unmarked(row[3]), Unmarked(row[4]), Unmarked(row[5])});
      }
      return absl::OkStatus();
    }));
    if (links.empty()) {
      broken(verifier.n_links() + 1,
             absl::StrFormat("the chain ends here, but its head is %d", head_sequence));
      break;
    }
    DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
      for (const ChainLink& link : links) {
        if (link.sequence > head_sequence) break;
        std::string problem = verifier.Check(link);
        if (problem.empty()) problem = CheckText(work, tenant_id, link, &result);
        if (problem.empty()) continue;
        broken(link.sequence, problem);
        break;
      }
      return absl::OkStatus();
    }));
  }
  if (result.problem().empty() && verifier.head() != head_hash)
    broken(head_sequence, "the head does not have the last link's hash");
  result.set_valid(result.problem().empty());
  result.set_n_links(verifier.n_links());
  result.set_head_hash(HexEncode(verifier.head()));
  return result;
}

absl::StatusOr<int64_t> AuditLog::EraseTexts(const std::string& tenant_id,
                                             const std::string& decision_id, Deadline deadline) {
  int64_t erased = 0;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
    if (Exec(work, kFindLink, tenant_id, decision_id, std::string(kDecisionKind)).empty())
      return NotFound("decision %s", decision_id);
    erased = static_cast<int64_t>(Exec(work, kEraseTexts, tenant_id, decision_id).affected_rows());
    return absl::OkStatus();
  }));
  return erased;
}

absl::Status AuditLog::CloseAbandoned(std::chrono::milliseconds timeout) {
  const absl::Time now = clock_->Now();
  const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(30);
  std::vector<std::pair<std::string, std::string>> abandoned;
  DKI_RETURN_IF_ERROR(database_->Transact(deadline, [&](pqxx::work& work) {
    abandoned.clear();
    for (const pqxx::row& row :
         Exec(work, kAbandoned, absl::ToUnixMicros(now - absl::FromChrono(timeout)))) {
      abandoned.emplace_back(row[0].as<std::string>(), row[1].as<std::string>());
    }
    return absl::OkStatus();
  }));
  for (const auto& [tenant_id, decision_id] : abandoned) {
    audit::v1::OutcomeRecord outcome;
    outcome.set_decision_id(decision_id);
    outcome.set_status("unknown");
    *outcome.mutable_time() = TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(now));
    DKI_RETURN_IF_ERROR(AppendOutcome(tenant_id, outcome, {}, deadline).status());
  }
  return absl::OkStatus();
}

void EraseTenantAudit(pqxx::work& work, const std::string& tenant_id) {
  static constexpr Statement kErase[] = {
      {"audit_erase_1", "DELETE FROM audit_texts WHERE tenant_id = $1"},
      {"audit_erase_2", "DELETE FROM audit_decisions WHERE tenant_id = $1"},
      {"audit_erase_3", "DELETE FROM audit_links WHERE tenant_id = $1"},
      {"audit_erase_4", "DELETE FROM audit_heads WHERE tenant_id = $1"}};
  for (const Statement& statement : kErase) Exec(work, statement, tenant_id);
}

}  // namespace dki::memory_store
