// SPDX-License-Identifier: Apache-2.0
// Purpose: what a request to the audit log may contain, and what its implementations share. Pure.
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "dki/audit/v1/audit_service.pb.h"
#include "libs/base/status.h"

namespace dki::memory_store {

// Of a page of decisions, texts included: well below what a message may have.
constexpr int64_t kMaxPageBytes = 16 << 20;

// INVALID_ARGUMENT names the field and its limit. A text must be the one whose hash the record
// holds; a record may hold the hash of a text that is not kept.
absl::Status Validate(const audit::v1::AppendDecisionRequest& request);
absl::Status Validate(const audit::v1::AppendOutcomeRequest& request);
absl::Status Validate(const audit::v1::ListDecisionsRequest& request);
absl::Status ValidateDecisionId(const std::string& id);

// What the hash of a text covers.
std::string SaltedText(const audit::v1::SideText& text);

// A decision as it is stored; texts salted, nullopt where erased. DATA_LOSS when it does not parse.
struct StoredDecision {
  std::string decision_payload;
  std::optional<std::string> outcome_payload;
  std::optional<std::string> query;
  std::optional<std::string> answer;

  int64_t SizeBytes() const;
};
absl::StatusOr<audit::v1::Decision> ParseDecision(const StoredDecision& stored);

// What closes a decision whose answer never came.
audit::v1::OutcomeRecord UnknownOutcome(const std::string& decision_id, absl::Time now);

// What page tokens of a list are bound to: tenant and filter.
std::string PageBinding(const std::string& tenant_id,
                        const audit::v1::ListDecisionsRequest& request);

// Errors.
absl::Status DecisionNotFound(const std::string& id);
absl::Status DecisionDiffers(const std::string& id);
absl::Status MemoriesChanged(const std::string& decision_id);
absl::Status OutcomeWithoutDecision(const std::string& id);

}  // namespace dki::memory_store
