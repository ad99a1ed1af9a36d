// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/ablate.h"

#include <algorithm>
#include <optional>

#include "libs/eval/bootstrap.h"

namespace dki::eval {
namespace {

struct Ablation {
  const char* name;
  FitInputs inputs;
};

constexpr FitInputs kNothing = {.cosine = false,
                                .personal = false,
                                .relevance = false,
                                .words = false,
                                .place = false,
                                .superseded = false,
                                .heads = false,
                                .entropy = false};

std::vector<Ablation> Ablations() {
  std::vector<Ablation> ablations = {
      {"all", {}},
      {"all and entropy", {.entropy = true}},
      {"without cosine", {.cosine = false}},
      {"without personal", {.personal = false}},
      {"without words", {.words = false}},
      {"without place", {.place = false}},
      {"without superseded", {.superseded = false}},
      {"without heads", {.heads = false}},
  };
  FitInputs only = kNothing;
  only.cosine = true;
  ablations.push_back({"cosine alone", only});
  only = kNothing;
  only.words = true;
  ablations.push_back({"words alone", only});
  only = kNothing;
  only.heads = only.relevance = true;
  ablations.push_back({"heads alone", only});
  only = kNothing;
  only.entropy = true;
  ablations.push_back({"entropy alone", only});
  return ablations;
}

// None where no item has gold among several memories.
std::optional<double> GoldOnTop(const std::vector<LabelledItem>& items,
                                const FittedEvidence& fitted) {
  int n = 0;
  int hits = 0;
  for (const LabelledItem& item : items) {
    if (item.cosines.size() < 2 || item.gold.empty() || item.gold.size() == item.cosines.size()) {
      continue;
    }
    const std::vector<double> scores = RelevanceOf(fitted, item);
    const auto top = static_cast<int>(std::ranges::max_element(scores) - scores.begin());
    ++n;
    hits += std::ranges::find(item.gold, top) != item.gold.end() ? 1 : 0;
  }
  if (n == 0) return std::nullopt;
  return 100.0 * hits / n;
}

AblationRow Tell(const char* name, const FittedEvidence& fitted,
                 const std::vector<std::vector<LabelledItem>>& suites) {
  AblationRow row{.name = name, .n_heads = static_cast<int>(fitted.heads.size()), .auroc = {}};
  int n_suites = 0;
  for (size_t s = 0; s < suites.size(); ++s) {
    std::vector<double> told;
    std::vector<bool> needed;
    for (const LabelledItem& item : suites[s]) {
      if (item.cosines.empty()) continue;
      told.push_back(AnswerProbability(fitted, item));
      needed.push_back(item.needed);
    }
    if (const auto auroc = Auroc(told, needed)) row.auroc[s] = *auroc;
    if (const auto on_top = GoldOnTop(suites[s], fitted)) {
      row.gold_on_top += *on_top;
      ++n_suites;
    }
  }
  if (n_suites > 0) row.gold_on_top /= n_suites;
  return row;
}

}  // namespace

absl::StatusOr<std::vector<AblationRow>> Ablate(
    const std::vector<std::vector<LabelledItem>>& seen,
    const std::vector<std::vector<LabelledItem>>& unseen, size_t n_heads, int most_heads) {
  std::vector<AblationRow> rows;
  DKI_ASSIGN_OR_RETURN(const FittedEvidence whole, FitEvidence(seen, n_heads, most_heads, {}));
  for (const Ablation& ablation : Ablations()) {
    DKI_ASSIGN_OR_RETURN(const FittedEvidence fitted,
                         FitEvidenceOfHeads(seen, whole.heads, ablation.inputs));
    rows.push_back(Tell(ablation.name, fitted, unseen));
  }
  return rows;
}

}  // namespace dki::eval
