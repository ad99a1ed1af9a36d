// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/evidence_fit.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

namespace dki::eval {
namespace {

using Vector = std::vector<double>;

constexpr double kLeastShare = 1e-5;  // as in injection/relevance.cc
constexpr double kShrinkage = 0.002;  // of weights, squared
constexpr int kSteps = 400;           // of descent
constexpr size_t kCandidates = 24;    // heads that are tried
constexpr double kLeastGain = 0.002;  // of mean log likelihood, for another head
constexpr double kAnswerShrinkage = 2e-4;
// Of the answer's mean log likelihood, for a probe to be worth it before the gate.
constexpr double kLeastAnswerGain = 0.02;
// Features of a memory that are no heads: cosine, words, place, superseded (negated; as if every
// later memory with its words were relevant enough).
constexpr size_t kPlainFeatures = 4;
constexpr size_t kCosine = 0;
constexpr size_t kWords = 1;
constexpr size_t kPlace = 2;
constexpr size_t kSuperseded = 3;

double LogShare(double share) {
  return std::log(std::fmax(share, 0.0) + kLeastShare);
}

// Minimises a smooth function by gradient descent with a step per coordinate that grows while the
// sign of its slope stays and shrinks when it turns (Rprop: Riedmiller and Braun 1993), which needs
// no tuning. `slope` fills the gradient at w.
template <typename Slope>
Vector Minimise(size_t n, const Slope& slope, const std::vector<bool>& not_negative) {
  Vector w(n, 0.0);
  Vector gradient(n, 0.0);
  Vector before(n, 0.0);
  Vector step(n, 0.1);
  for (int i = 0; i < kSteps; ++i) {
    slope(w, &gradient);
    for (size_t k = 0; k < n; ++k) {
      const double turn = gradient[k] * before[k];
      if (turn > 0) step[k] = std::min(step[k] * 1.2, 2.0);
      if (turn < 0) {
        step[k] *= 0.5;
        before[k] = 0.0;
        continue;
      }
      if (gradient[k] > 0) w[k] -= step[k];
      if (gradient[k] < 0) w[k] += step[k];
      if (not_negative[k]) w[k] = std::max(w[k], 0.0);
      before[k] = gradient[k];
    }
  }
  return w;
}

// Features of one item's memories: the plain ones, ln share of each head.
// [memories][features]
struct Choice {
  std::vector<Vector> features;
  const std::vector<int>* gold;
  double weight = 1.0;  // suites count alike
};

std::vector<Choice> Choices(const std::vector<std::vector<LabelledItem>>& suites,
                            const std::vector<int>& heads) {
  std::vector<Choice> choices;
  for (const auto& suite : suites) {
    const size_t begin = choices.size();
    for (const LabelledItem& item : suite) {
      const size_t n = item.cosines.size();
      if (n < 2 || item.gold.empty() || item.gold.size() == n) continue;
      Choice choice;
      choice.gold = &item.gold;
      for (size_t i = 0; i < n; ++i) {
        Vector x = {item.cosines[i], item.words[i],
                    static_cast<double>(i) / static_cast<double>(n - 1),
                    item.later[i].empty() ? 0.0 : -1.0};
        for (const int h : heads) x.push_back(LogShare(item.shares[i][h]));
        choice.features.push_back(std::move(x));
      }
      choices.push_back(std::move(choice));
    }
    for (size_t c = begin; c < choices.size(); ++c) {
      choices[c].weight = 1.0 / static_cast<double>(choices.size() - begin);
    }
  }
  return choices;
}

double Dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// Adds the item's -ln P(gold) and its gradient.
double AddChoice(const Choice& choice, const Vector& w, Vector* gradient) {
  Vector p;
  for (const Vector& x : choice.features) p.push_back(Dot(w, x));
  const double best = *std::max_element(p.begin(), p.end());
  double sum = 0;
  for (double& value : p) sum += value = std::exp(value - best);
  double gold = 0;
  for (double& value : p) value /= sum;
  for (const int i : *choice.gold) gold += p[i];
  gold = std::max(gold, 1e-12);
  for (size_t i = 0; i < p.size(); ++i) {
    const bool is_gold = std::find(choice.gold->begin(), choice.gold->end(), static_cast<int>(i)) !=
                         choice.gold->end();
    const double slope = choice.weight * (p[i] - (is_gold ? p[i] / gold : 0.0));
    for (size_t k = 0; k < w.size(); ++k) (*gradient)[k] += slope * choice.features[i][k];
  }
  return -choice.weight * std::log(gold);
}

struct Fitted {
  Vector weights;
  double loss = std::numeric_limits<double>::infinity();
};

Fitted FitRelevance(const std::vector<std::vector<LabelledItem>>& suites,
                    const std::vector<int>& heads, const FitInputs& inputs) {
  const std::vector<Choice> choices = Choices(suites, heads);
  std::vector<bool> unused(heads.size() + kPlainFeatures, false);
  unused[kCosine] = !inputs.cosine;
  unused[kWords] = !inputs.words;
  unused[kPlace] = !inputs.place;
  unused[kSuperseded] = !inputs.superseded;
  double total = 0;
  for (const Choice& choice : choices) total += choice.weight;
  const auto loss_at = [&](const Vector& w, Vector* gradient) {
    gradient->assign(w.size(), 0.0);
    double loss = 0;
    for (const Choice& choice : choices) loss += AddChoice(choice, w, gradient);
    for (size_t k = 0; k < w.size(); ++k) {
      (*gradient)[k] = unused[k] ? 0.0 : (*gradient)[k] / total + 2 * kShrinkage * w[k];
    }
    return loss / total;
  };
  // A head that looks away from answers is no retrieval head.
  std::vector<bool> not_negative(heads.size() + kPlainFeatures, true);
  not_negative[kPlace] = false;
  Fitted fitted;
  fitted.weights = Minimise(heads.size() + kPlainFeatures, loss_at, not_negative);
  Vector gradient;
  fitted.loss = loss_at(fitted.weights, &gradient);
  return fitted;
}

// How often a head's greatest share is on a gold memory, mean over suites.
double HitRate(const std::vector<std::vector<LabelledItem>>& suites, int head) {
  double sum = 0;
  for (const auto& suite : suites) {
    int hits = 0;
    int n = 0;
    for (const LabelledItem& item : suite) {
      if (item.gold.empty() || item.cosines.size() < 2) continue;
      int top = 0;
      for (size_t i = 1; i < item.shares.size(); ++i) {
        if (item.shares[i][head] > item.shares[top][head]) top = static_cast<int>(i);
      }
      ++n;
      hits += std::find(item.gold.begin(), item.gold.end(), top) != item.gold.end() ? 1 : 0;
    }
    if (n > 0) sum += static_cast<double>(hits) / n;
  }
  return sum;
}

std::vector<int> BestHeads(const std::vector<std::vector<LabelledItem>>& suites, size_t n_heads) {
  std::vector<double> rates;
  for (size_t h = 0; h < n_heads; ++h) rates.push_back(HitRate(suites, static_cast<int>(h)));
  std::vector<int> order(n_heads);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return rates[a] > rates[b]; });
  order.resize(std::min(order.size(), kCandidates));
  return order;
}

// The item's memories, with the shares of these heads.
std::vector<injection::Evidence> EvidenceOf(const LabelledItem& item,
                                            const std::vector<int>& heads) {
  std::vector<injection::Evidence> memories;
  for (size_t i = 0; i < item.cosines.size(); ++i) {
    memories.push_back({.cosine = item.cosines[i],
                        .words = item.words[i],
                        .later = item.later[i],
                        .head_shares = {}});
    for (const int h : heads) memories.back().head_shares.push_back(item.shares[i][h]);
  }
  return memories;
}

// 1, the item's best cosine, its best share of words, its best relevance, the entropy, the cosine
// once more where who asks speaks of themselves.
Vector AnswerFeatures(const LabelledItem& item, const std::vector<int>& heads,
                      const injection::RelevanceModel& relevance) {
  const Vector scores = injection::ScoreRelevance(relevance, EvidenceOf(item, heads));
  const double cosine = std::ranges::max(item.cosines);
  return {1.0,
          cosine,
          std::ranges::max(item.words),
          std::ranges::max(scores),
          item.entropy,
          item.speaks_of_asker ? cosine : 0.0};
}

// An item with memories, and whether these are needed.
struct AnswerCase {
  Vector features;
  bool needed;
  double weight = 1.0;  // both answers weigh 0.5, and within each suites count alike
};

absl::StatusOr<std::vector<AnswerCase>> AnswerCases(
    const std::vector<std::vector<LabelledItem>>& suites, const std::vector<int>& heads,
    const injection::RelevanceModel& relevance) {
  std::vector<AnswerCase> cases;
  int n_suites[2] = {0, 0};
  for (size_t s = 0; s < suites.size(); ++s) {
    const size_t begin = cases.size();
    int n_items[2] = {0, 0};
    for (const LabelledItem& item : suites[s]) {
      if (item.cosines.empty()) continue;
      cases.push_back({.features = AnswerFeatures(item, heads, relevance), .needed = item.needed});
      ++n_items[item.needed ? 1 : 0];
    }
    for (const int needed : {0, 1}) n_suites[needed] += n_items[needed] > 0 ? 1 : 0;
    for (size_t i = begin; i < cases.size(); ++i) {
      cases[i].weight = 0.5 / n_items[cases[i].needed ? 1 : 0];
    }
  }
  if (n_suites[0] == 0 || n_suites[1] == 0) {
    return InvalidArgument(
        "of the suites, %d have items whose memories answer and %d have items whose memories do "
        "not; both are needed",
        n_suites[1], n_suites[0]);
  }
  for (AnswerCase& one : cases) one.weight /= n_suites[one.needed ? 1 : 0];
  return cases;
}

double Sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

Vector FitAnswer(const std::vector<AnswerCase>& cases, const FitInputs& inputs) {
  const bool used[] = {true,           inputs.cosine,
                       inputs.words,   inputs.relevance,
                       inputs.entropy, inputs.cosine && inputs.personal};
  return Minimise(std::size(used),
                  [&](const Vector& at, Vector* gradient) {
                    gradient->assign(at.size(), 0.0);
                    for (const AnswerCase& one : cases) {
                      const double slope =
                          one.weight * (Sigmoid(Dot(at, one.features)) - (one.needed ? 1.0 : 0.0));
                      for (size_t k = 0; k < at.size(); ++k) {
                        (*gradient)[k] += slope * one.features[k];
                      }
                    }
                    for (size_t k = 0; k < at.size(); ++k) {
                      if (k > 0) (*gradient)[k] += 2 * kAnswerShrinkage * at[k];
                      if (!used[k]) (*gradient)[k] = 0.0;
                    }
                  },
                  {false, true, true, true, false, true});
}

// Mean log likelihood.
double Likelihood(const std::vector<AnswerCase>& cases, const Vector& weights) {
  double sum = 0.0;
  for (const AnswerCase& one : cases) {
    const double log_odds = Dot(weights, one.features);
    sum -= one.weight * std::log1p(std::exp(one.needed ? -log_odds : log_odds));
  }
  return sum;
}

// Without the relevance where that is about as good: then the gate need not wait for a probe.
Vector FitSimplestAnswer(const std::vector<AnswerCase>& cases, FitInputs inputs) {
  Vector with = FitAnswer(cases, inputs);
  if (!inputs.relevance) return with;
  inputs.relevance = false;
  Vector without = FitAnswer(cases, inputs);
  const double gain = Likelihood(cases, with) - Likelihood(cases, without);
  return gain < kLeastAnswerGain ? without : with;
}

}  // namespace

absl::StatusOr<FittedEvidence> FitEvidence(const std::vector<std::vector<LabelledItem>>& suites,
                                           size_t n_heads, int most_heads,
                                           const FitInputs& inputs) {
  std::vector<int> chosen;
  Fitted fitted = FitRelevance(suites, chosen, inputs);
  const std::vector<int> candidates = BestHeads(suites, inputs.heads ? n_heads : 0);
  while (static_cast<int>(chosen.size()) < most_heads) {
    Fitted best;
    std::optional<int> best_head;
    for (const int head : candidates) {
      if (std::find(chosen.begin(), chosen.end(), head) != chosen.end()) continue;
      std::vector<int> with = chosen;
      with.push_back(head);
      Fitted next = FitRelevance(suites, with, inputs);
      if (next.loss >= best.loss) continue;
      best = std::move(next);
      best_head = head;
    }
    // One head at least: the gate needs it.
    if (!best_head || (!chosen.empty() && fitted.loss - best.loss < kLeastGain)) break;
    chosen.push_back(*best_head);
    fitted = std::move(best);
  }
  // What a later choice has made needless is not probed.
  std::vector<int> needed;
  for (size_t h = 0; h < chosen.size(); ++h) {
    if (fitted.weights[kPlainFeatures + h] > 0.0) needed.push_back(chosen[h]);
  }
  return FitEvidenceOfHeads(suites, needed.empty() ? chosen : needed, inputs);
}

absl::StatusOr<FittedEvidence> FitEvidenceOfHeads(
    const std::vector<std::vector<LabelledItem>>& suites, const std::vector<int>& heads,
    const FitInputs& inputs) {
  if (Choices(suites, {}).empty()) {
    return InvalidArgument("the suites have no item with a gold memory among others");
  }
  FittedEvidence result;
  if (inputs.heads) result.heads = heads;
  const Vector weights = FitRelevance(suites, result.heads, inputs).weights;
  result.relevance.cosine = weights[kCosine];
  result.relevance.words = weights[kWords];
  result.relevance.recency = weights[kPlace];
  result.relevance.superseded = weights[kSuperseded];
  result.relevance.heads.assign(weights.begin() + kPlainFeatures, weights.end());

  DKI_ASSIGN_OR_RETURN(const std::vector<AnswerCase> cases,
                       AnswerCases(suites, result.heads, result.relevance));
  result.answer = FitSimplestAnswer(cases, inputs);
  for (const AnswerCase& one : cases) {
    result.told.emplace_back(Sigmoid(Dot(result.answer, one.features)),
                             one.needed ? one.weight : -one.weight);
  }
  return result;
}

std::vector<double> RelevanceOf(const FittedEvidence& fitted, const LabelledItem& item) {
  return injection::ScoreRelevance(fitted.relevance, EvidenceOf(item, fitted.heads));
}

double AnswerProbability(const FittedEvidence& fitted, const LabelledItem& item) {
  if (item.cosines.empty()) return 0.0;
  return Sigmoid(Dot(fitted.answer, AnswerFeatures(item, fitted.heads, fitted.relevance)));
}

}  // namespace dki::eval
