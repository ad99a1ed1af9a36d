// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/audit_chain.h"

#include <string_view>

#include "libs/base/sha256.h"
#include "libs/base/status.h"
#include "libs/base/strings.h"

namespace dki::memory_store {
namespace {

void AddNumber(uint64_t value, Sha256* hash) {
  char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (56 - 8 * i));
  hash->Update({bytes, sizeof(bytes)});
}

void AddField(std::string_view field, Sha256* hash) {
  AddNumber(field.size(), hash);
  hash->Update(field);
}

}  // namespace

ChainHead EmptyChain(const std::string& tenant_id) {
  Sha256 hash;
  hash.Update("dki audit chain 1");
  AddField(tenant_id, &hash);
  return {.sequence = 0, .hash = hash.FinishBytes()};
}

std::string LinkHash(const audit::v1::ChainLink& link) {
  Sha256 hash;
  hash.Update("dki audit link 1");
  AddField(link.previous_hash(), &hash);
  AddNumber(static_cast<uint64_t>(link.sequence()), &hash);
  AddField(link.kind(), &hash);
  AddField(link.decision_id(), &hash);
  AddField(link.payload(), &hash);
  return hash.FinishBytes();
}

audit::v1::ChainLink NextLink(const ChainHead& head, const std::string& kind,
                              const std::string& decision_id, std::string payload) {
  audit::v1::ChainLink link;
  link.set_sequence(head.sequence + 1);
  link.set_kind(kind);
  link.set_decision_id(decision_id);
  link.set_payload(std::move(payload));
  link.set_previous_hash(head.hash);
  link.set_hash(LinkHash(link));
  return link;
}

bool ChainVerifier::Add(const StoredLink& stored) {
  if (!result_.problem().empty()) return false;
  const audit::v1::ChainLink& link = stored.link;
  // What is missing is where it should be, not where the next one is.
  if (link.sequence() > last_.sequence + 1) {
    SetBroken(last_.sequence + 1,
              absl::StrFormat("the link is missing; the next one is %d", link.sequence()));
    return false;
  }
  const std::string problem = Problem(stored);
  if (!problem.empty()) {
    SetBroken(link.sequence(), problem);
    return false;
  }
  last_ = {.sequence = link.sequence(), .hash = link.hash()};
  return true;
}

audit::v1::VerifyChainResponse ChainVerifier::Finish() {
  if (result_.problem().empty() && last_.sequence != head_.sequence) {
    SetBroken(last_.sequence + 1,
              absl::StrFormat("the chain's end was cut: its head is %d", head_.sequence));
  }
  if (result_.problem().empty() && last_.hash != head_.hash) {
    SetBroken(head_.sequence, "the head does not have the last link's hash");
  }
  if (result_.problem().empty() && result_.n_texts_checked() != n_texts_) {
    SetBroken(head_.sequence, absl::StrFormat("%d texts belong to no record",
                                              n_texts_ - result_.n_texts_checked()));
  }
  result_.set_valid(result_.problem().empty());
  result_.set_n_links(last_.sequence);
  result_.set_head_hash(HexEncode(last_.hash));
  result_.set_n_open(static_cast<int64_t>(open_.size()));
  return result_;
}

std::string ChainVerifier::Problem(const StoredLink& stored) {
  const audit::v1::ChainLink& link = stored.link;
  if (link.sequence() != last_.sequence + 1) return "the link is out of order";
  if (link.sequence() > head_.sequence) {
    return absl::StrFormat("the link lies beyond the chain's head, %d", head_.sequence);
  }
  if (link.previous_hash() != last_.hash) return "the link does not follow the one before it";
  if (link.hash() != LinkHash(link)) return "the link was altered: its hash is another";
  return RecordProblem(stored);
}

std::string ChainVerifier::RecordProblem(const StoredLink& stored) {
  const audit::v1::ChainLink& link = stored.link;
  if (link.kind() == kDecisionKind) {
    audit::v1::DecisionRecord record;
    if (!record.ParseFromString(link.payload()) || record.decision_id() != link.decision_id()) {
      return "the link does not hold the decision that it names";
    }
    if (stored.user_id != record.scope().user_id()) return "the link is listed for another user";
    open_.insert(link.decision_id());
    return TextProblem(stored, kQueryText, record.query_hash());
  }
  audit::v1::OutcomeRecord record;
  if (link.kind() != kOutcomeKind || !record.ParseFromString(link.payload()) ||
      record.decision_id() != link.decision_id()) {
    return "the link does not hold the outcome that it names";
  }
  if (open_.erase(link.decision_id()) == 0) return "the outcome has no open decision before it";
  return TextProblem(stored, kAnswerText, record.answer_hash());
}

std::string ChainVerifier::TextProblem(const StoredLink& stored, const std::string& kind,
                                       const std::string& hash) {
  if (!stored.salted_text.has_value()) {
    if (!hash.empty()) result_.set_n_texts_erased(result_.n_texts_erased() + 1);
    return "";
  }
  if (Sha256Hex(*stored.salted_text) != hash) {
    return absl::StrFormat("the %s text of %s was altered", kind, stored.link.decision_id());
  }
  result_.set_n_texts_checked(result_.n_texts_checked() + 1);
  return "";
}

void ChainVerifier::SetBroken(int64_t sequence, const std::string& problem) {
  result_.set_broken_sequence(sequence);
  result_.set_problem(problem);
}

}  // namespace dki::memory_store
