// SPDX-License-Identifier: Apache-2.0
// Purpose: step 5 of the pipeline, pure: what the audit log says of a request. Records hold ids,
//   salted hashes and numbers; texts go beside them (design section 8).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "dki/audit/v1/audit.pb.h"
#include "dki/audit/v1/audit_service.pb.h"
#include "dki/generation/v1/generation_service.pb.h"
#include "dki/kv/v1/kv_service.pb.h"
#include "libs/base/status.h"
#include "services/orchestrator/candidates.h"
#include "services/orchestrator/chat_task.h"
#include "services/orchestrator/weigh_step.h"

namespace dki::orchestrator {

// What the steps found out, for the record.
struct Decided {
  std::vector<Candidate> retrieved;
  std::vector<Chosen> chosen;
  std::string gate;
  std::optional<double> answer_probability;  // where a probe was made
  std::optional<double> answer_threshold;
  std::vector<std::string> degraded;
  std::string model_fingerprint;
  std::string embedding_fingerprint;
  int64_t search_position = 0;
  kv::v1::PackSpec prefetched;  // what kv was told of before the gate decided
};

// What the answer came to, for the record.
struct Answered {
  absl::Status status;
  std::string text;
  std::vector<std::string> degraded;
  bool modulated = false;                               // the memories, by the question
  std::string model_fingerprint;                        // of the model that answered
  generation::v1::GenerateResponse::Finished finished;  // empty unless status is OK
  audit::v1::Timings timings;
};

// Hexadecimal SHA-256 of salt and text.
std::string SaltedHash(const std::string& salt, const std::string& text);

// `salt`: 16 random bytes.
audit::v1::AppendDecisionRequest MakeDecision(const PipelineConfig& config, const ChatTask& task,
                                              const std::string& key_id, const Decided& decided,
                                              const std::string& salt, absl::Time now);
audit::v1::AppendOutcomeRequest MakeOutcome(const std::string& decision_id,
                                            const Answered& answered, const std::string& salt,
                                            absl::Time now);

// A recorded decision that a repeated request meets again.
// ALREADY_EXISTS, naming request and decision, when it was made for another request.
absl::Status CheckSameRequest(const ChatTask& task, const audit::v1::Decision& recorded);
// What was chosen then, from the memories as they are now. ABORTED when one has changed or is gone:
// the record would no longer explain the answer.
absl::StatusOr<std::vector<Chosen>> RestoreChosen(const audit::v1::DecisionRecord& recorded,
                                                  const Memories& current);

}  // namespace dki::orchestrator
