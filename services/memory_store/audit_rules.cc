// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/audit_rules.h"

#include "libs/base/sha256.h"
#include "services/memory_store/audit_chain.h"
#include "services/memory_store/field_checks.h"
#include "services/memory_store/memory_rules.h"
#include "services/memory_store/validate.h"

namespace dki::memory_store {
namespace {

using audit::v1::SideText;

constexpr size_t kSaltBytes = 16;
constexpr size_t kMaxTextBytes = 4 << 20;
constexpr size_t kMaxRecordBytes = 1 << 20;
constexpr size_t kMaxUserBytes = 256;

// `hash` is the record's field `hash_field`, the hash of its text of `kind`.
absl::Status CheckTexts(const google::protobuf::RepeatedPtrField<SideText>& texts,
                        const std::string& kind, const std::string& hash_field,
                        const std::string& hash) {
  if (!hash.empty()) DKI_RETURN_IF_ERROR(CheckHexId(hash_field, hash, "", 64));
  if (texts.size() > 1) {
    return InvalidArgument("texts: %d texts, must be at most 1", texts.size());
  }
  for (const SideText& text : texts) {
    if (text.kind() != kind) return InvalidArgument("texts[0].kind: must be \"%s\"", kind);
    if (text.salt().size() != kSaltBytes) {
      return InvalidArgument("texts[0].salt: %d bytes, must be %d", text.salt().size(), kSaltBytes);
    }
    if (text.text().size() > kMaxTextBytes) {
      return InvalidArgument("texts[0].text: %d bytes, must be at most %d", text.text().size(),
                             kMaxTextBytes);
    }
    if (Sha256Hex(SaltedText(text)) != hash) {
      return InvalidArgument("%s: not the hash of texts[0]", hash_field);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRecord(const std::string& field, const google::protobuf::Message& record) {
  if (record.ByteSizeLong() > kMaxRecordBytes) {
    return InvalidArgument("%s: %d bytes, must be at most %d", field, record.ByteSizeLong(),
                           kMaxRecordBytes);
  }
  return absl::OkStatus();
}

std::string WithoutSalt(const std::string& salted_text) {
  return salted_text.size() < kSaltBytes ? "" : salted_text.substr(kSaltBytes);
}

}  // namespace

absl::Status Validate(const audit::v1::AppendDecisionRequest& request) {
  const audit::v1::DecisionRecord& decision = request.decision();
  DKI_RETURN_IF_ERROR(CheckHexId("decision.decision_id", decision.decision_id(), "dec_", 32));
  DKI_RETURN_IF_ERROR(
      CheckString("decision.scope.user_id", decision.scope().user_id(), 0, kMaxUserBytes));
  DKI_RETURN_IF_ERROR(CheckRecord("decision", decision));
  return CheckTexts(request.texts(), kQueryText, "decision.query_hash", decision.query_hash());
}

absl::Status Validate(const audit::v1::AppendOutcomeRequest& request) {
  const audit::v1::OutcomeRecord& outcome = request.outcome();
  DKI_RETURN_IF_ERROR(CheckHexId("outcome.decision_id", outcome.decision_id(), "dec_", 32));
  DKI_RETURN_IF_ERROR(CheckRecord("outcome", outcome));
  return CheckTexts(request.texts(), kAnswerText, "outcome.answer_hash", outcome.answer_hash());
}

absl::Status Validate(const audit::v1::ListDecisionsRequest& request) {
  DKI_RETURN_IF_ERROR(CheckRange("page_size", request.page_size(), 0, kMaxPageSize));
  return CheckString("user_id", request.user_id(), 0, kMaxUserBytes);
}

absl::Status ValidateDecisionId(const std::string& id) {
  return CheckHexId("decision_id", id, "dec_", 32);
}

std::string SaltedText(const SideText& text) {
  return text.salt() + text.text();
}

int64_t StoredDecision::SizeBytes() const {
  size_t size = decision_payload.size();
  for (const auto* part : {&outcome_payload, &query, &answer}) {
    if (part->has_value()) size += (*part)->size();
  }
  return static_cast<int64_t>(size);
}

absl::StatusOr<audit::v1::Decision> ParseDecision(const StoredDecision& stored) {
  audit::v1::Decision decision;
  if (!decision.mutable_decision()->ParseFromString(stored.decision_payload)) {
    return DataLoss("a decision's record does not parse: verify the chain");
  }
  if (stored.outcome_payload.has_value() &&
      !decision.mutable_outcome()->ParseFromString(*stored.outcome_payload)) {
    return DataLoss("the outcome of decision %s does not parse: verify the chain",
                    decision.decision().decision_id());
  }
  if (stored.query.has_value()) decision.set_query_text(WithoutSalt(*stored.query));
  if (stored.answer.has_value()) decision.set_answer_text(WithoutSalt(*stored.answer));
  return decision;
}

audit::v1::OutcomeRecord UnknownOutcome(const std::string& decision_id, absl::Time now) {
  audit::v1::OutcomeRecord outcome;
  outcome.set_decision_id(decision_id);
  *outcome.mutable_time() = FromMicros(absl::ToUnixMicros(now));
  outcome.set_status("unknown");
  return outcome;
}

std::string PageBinding(const std::string& tenant_id,
                        const audit::v1::ListDecisionsRequest& request) {
  return absl::StrFormat("decisions %d:%s%s", tenant_id.size(), tenant_id, request.user_id());
}

absl::Status DecisionNotFound(const std::string& id) {
  return NotFound("decision %s", id);
}
absl::Status DecisionDiffers(const std::string& id) {
  return AlreadyExists("decision %s was recorded with other contents", id);
}
absl::Status MemoriesChanged(const std::string& decision_id) {
  return Aborted("decision %s: a memory has been changed or deleted meanwhile", decision_id);
}
absl::Status OutcomeWithoutDecision(const std::string& id) {
  return FailedPrecondition("there is no decision %s", id);
}

}  // namespace dki::memory_store
