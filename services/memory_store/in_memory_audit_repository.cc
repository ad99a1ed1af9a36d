// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/in_memory_audit_repository.h"

#include <limits>

#include "services/memory_store/memory_rules.h"
#include "services/memory_store/validate.h"

namespace dki::memory_store {

ChainHead InMemoryAuditRepository::Chain::Head(const std::string& tenant_id) const {
  if (links.empty()) return EmptyChain(tenant_id);
  return {.sequence = links.back().link.sequence(), .hash = links.back().link.hash()};
}

StoredDecision InMemoryAuditRepository::Chain::Read(const std::string& decision_id) const {
  const StoredLink& decision = links[static_cast<size_t>(decisions.at(decision_id)) - 1];
  StoredDecision stored{.decision_payload = decision.link.payload(),
                        .outcome_payload = std::nullopt,
                        .query = decision.salted_text,
                        .answer = std::nullopt};
  const auto outcome = outcomes.find(decision_id);
  if (outcome != outcomes.end()) {
    const StoredLink& link = links[static_cast<size_t>(outcome->second) - 1];
    stored.outcome_payload = link.link.payload();
    stored.answer = link.salted_text;
  }
  return stored;
}

int64_t InMemoryAuditRepository::Chain::Append(const std::string& tenant_id, const char* kind,
                                               const std::string& decision_id,
                                               std::string payload) {
  links.push_back({.link = NextLink(Head(tenant_id), kind, decision_id, std::move(payload)),
                   .user_id = "",
                   .salted_text = std::nullopt});
  return links.back().link.sequence();
}

absl::StatusOr<InMemoryAuditRepository::Chain*> InMemoryAuditRepository::FindChain(
    const std::string& tenant_id) {
  Chain* chain = &chains_[tenant_id];
  if (chain->erased) return TenantNotFound(tenant_id);
  return chain;
}

absl::StatusOr<int64_t> InMemoryAuditRepository::AppendDecision(
    const Access& access, const audit::v1::AppendDecisionRequest& request) {
  const audit::v1::DecisionRecord& record = request.decision();
  const std::string payload = record.SerializeAsString();
  MutexLock lock(&mutex_);
  DKI_ASSIGN_OR_RETURN(Chain * chain, FindChain(access.tenant_id));
  const auto found = chain->decisions.find(record.decision_id());
  if (found != chain->decisions.end()) {
    const auto& link = chain->links[static_cast<size_t>(found->second) - 1].link;
    if (link.payload() != payload) return DecisionDiffers(record.decision_id());
    return found->second;
  }
  const int64_t sequence =
      chain->Append(access.tenant_id, kDecisionKind, record.decision_id(), payload);
  chain->links.back().user_id = record.scope().user_id();
  if (!request.texts().empty()) chain->links.back().salted_text = SaltedText(request.texts(0));
  chain->decisions[record.decision_id()] = sequence;
  chain->open[record.decision_id()].since = clock_->Now();
  return sequence;
}

absl::StatusOr<int64_t> InMemoryAuditRepository::AppendOutcome(
    const Access& access, const audit::v1::AppendOutcomeRequest& request) {
  const std::string& decision_id = request.outcome().decision_id();
  MutexLock lock(&mutex_);
  DKI_ASSIGN_OR_RETURN(Chain * chain, FindChain(access.tenant_id));
  const auto found = chain->outcomes.find(decision_id);
  if (found != chain->outcomes.end()) return found->second;
  const auto open = chain->open.find(decision_id);
  if (open == chain->open.end()) return OutcomeWithoutDecision(decision_id);
  const int64_t sequence = chain->Append(access.tenant_id, kOutcomeKind, decision_id,
                                         request.outcome().SerializeAsString());
  if (!request.texts().empty() && !open->second.texts_erased) {
    chain->links.back().salted_text = SaltedText(request.texts(0));
  }
  chain->outcomes[decision_id] = sequence;
  chain->open.erase(open);
  return sequence;
}

absl::StatusOr<audit::v1::Decision> InMemoryAuditRepository::GetDecision(
    const Access& access, const std::string& decision_id) {
  MutexLock lock(&mutex_);
  const Chain& chain = chains_[access.tenant_id];
  if (chain.decisions.count(decision_id) == 0) return DecisionNotFound(decision_id);
  return ParseDecision(chain.Read(decision_id));
}

absl::StatusOr<audit::v1::ListDecisionsResponse> InMemoryAuditRepository::ListDecisions(
    const Access& access, const audit::v1::ListDecisionsRequest& request) {
  const int page_size = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  const std::string binding = PageBinding(access.tenant_id, request);
  int64_t before = std::numeric_limits<int64_t>::max();
  if (!request.page_token().empty()) {
    DKI_ASSIGN_OR_RETURN(before, tokens_.Decode(binding, request.page_token()));
  }
  audit::v1::ListDecisionsResponse response;
  int64_t size = 0;
  MutexLock lock(&mutex_);
  const Chain& chain = chains_[access.tenant_id];
  for (auto stored = chain.links.rbegin(); stored != chain.links.rend(); ++stored) {
    const audit::v1::ChainLink& link = stored->link;
    const bool listed = link.kind() == kDecisionKind && link.sequence() < before &&
                        (request.user_id().empty() || request.user_id() == stored->user_id);
    if (!listed) continue;
    const StoredDecision decision = chain.Read(link.decision_id());
    size += decision.SizeBytes();
    const int n = response.decisions_size();
    if (n == page_size || (n > 0 && size > kMaxPageBytes)) {
      response.set_next_page_token(tokens_.Encode(binding, before));
      break;
    }
    DKI_ASSIGN_OR_RETURN(*response.add_decisions(), ParseDecision(decision));
    before = link.sequence();
  }
  return response;
}

absl::StatusOr<audit::v1::VerifyChainResponse> InMemoryAuditRepository::VerifyChain(
    const Access& access) {
  MutexLock lock(&mutex_);
  const Chain& chain = chains_[access.tenant_id];
  int64_t n_texts = 0;
  for (const StoredLink& link : chain.links) n_texts += link.salted_text.has_value() ? 1 : 0;
  ChainVerifier verifier(access.tenant_id, chain.Head(access.tenant_id), n_texts);
  for (const StoredLink& link : chain.links) verifier.Add(link);
  return verifier.Finish();
}

absl::StatusOr<int64_t> InMemoryAuditRepository::EraseTexts(const Access& access,
                                                            const std::string& decision_id) {
  MutexLock lock(&mutex_);
  DKI_ASSIGN_OR_RETURN(Chain * chain, FindChain(access.tenant_id));
  if (chain->decisions.count(decision_id) == 0) return DecisionNotFound(decision_id);
  const auto open = chain->open.find(decision_id);
  if (open != chain->open.end()) open->second.texts_erased = true;
  int64_t n_erased = 0;
  for (StoredLink& link : chain->links) {
    if (link.link.decision_id() != decision_id || !link.salted_text.has_value()) continue;
    link.salted_text.reset();
    ++n_erased;
  }
  return n_erased;
}

absl::StatusOr<int64_t> InMemoryAuditRepository::CloseAbandoned(absl::Duration timeout) {
  const absl::Time now = clock_->Now();
  int64_t n_closed = 0;
  MutexLock lock(&mutex_);
  for (auto& [tenant_id, chain] : chains_) {
    for (auto open = chain.open.begin(); open != chain.open.end();) {
      const std::string decision_id = open->first;
      if (open->second.since > now - timeout) {
        ++open;
        continue;
      }
      chain.outcomes[decision_id] =
          chain.Append(tenant_id, kOutcomeKind, decision_id,
                       UnknownOutcome(decision_id, now).SerializeAsString());
      open = chain.open.erase(open);
      ++n_closed;
    }
  }
  return n_closed;
}

void InMemoryAuditRepository::EraseTenant(const std::string& tenant_id) {
  MutexLock lock(&mutex_);
  chains_[tenant_id] = Chain();
  chains_[tenant_id].erased = true;
}

void InMemoryAuditRepository::OpenTenant(const std::string& tenant_id) {
  MutexLock lock(&mutex_);
  chains_[tenant_id].erased = false;
}

}  // namespace dki::memory_store
