// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/seed_experiments.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "libs/eval/make_facts.h"
#include "libs/eval/text_scores.h"

namespace dki::eval {
namespace {

constexpr int kNotes = 3;     // that an item has
constexpr int kUntoldOf = 5;  // one of so many items asks for what nobody told

// Facts of kinds that differ, so that a note of another kind never answers; the last one is left
// out of an item that asks for what nobody told.
std::vector<Fact> DrawOfDifferentKinds(std::span<const FactKind> kinds, Random* random) {
  while (true) {
    std::vector<Fact> facts = DrawFacts(kinds, kNotes, random);
    bool differ = true;
    for (size_t i = 0; i < facts.size(); ++i) {
      for (size_t j = 0; j < i; ++j) differ = differ && facts[i].kind != facts[j].kind;
    }
    if (differ) return facts;
  }
}

Suite MakeSuite(const std::string& name, std::span<const FactKind> kinds, uint64_t seed,
                int items) {
  Random random(seed, name);
  Suite suite{.name = name, .items = {}};
  for (int i = 0; i < items; ++i) {
    std::vector<Fact> facts = DrawOfDifferentKinds(kinds, &random);
    const bool is_told = i % kUntoldOf != kUntoldOf - 1;
    const Fact untold = facts.back();
    if (!is_told) facts.pop_back();
    const size_t asked = random.Below(facts.size());
    const Fact& fact = is_told ? facts[asked] : untold;
    Item item;
    item.id = absl::StrFormat("%s-%04d", name, i);
    for (size_t m = 0; m < facts.size(); ++m)
      item.memories.push_back({.id = absl::StrFormat("m%d", m), .text = facts[m].Told()});
    item.question = fact.Question();
    item.answer_prefix = fact.Prefix();
    item.needed = is_told;
    if (is_told) {
      item.answer = " " + fact.value;
      item.gold = {static_cast<int>(asked)};
    }
    suite.items.push_back(std::move(item));
  }
  return suite;
}

class Mean {
 public:
  void Add(std::optional<double> value) {
    if (!value) return;
    sum_ += *value;
    ++n_;
  }
  double value() const { return n_ == 0 ? 0 : sum_ / n_; }

 private:
  double sum_ = 0;
  int n_ = 0;
};

// REQUIRES: values is sorted and not empty. The nearest rank.
double Percentile(const std::vector<double>& values, double share) {
  const auto last = static_cast<double>(values.size() - 1);
  return values[static_cast<size_t>(share * last + 0.5)];
}

SeedScores ScoreArm(const Suite& suite, const std::string& arm,
                    const std::map<std::string, const ItemResult*>& results) {
  SeedScores scores{.suite = suite.name, .arm = arm};
  Mean recall;
  Mean hallucination;
  Mean bleu;
  Mean rouge;
  std::vector<double> times;
  for (const Item& item : suite.items) {
    const auto found = results.find(item.id);
    if (found == results.end()) continue;
    const ItemResult& result = *found->second;
    ++scores.n;
    times.push_back(result.first_token_ms);
    std::vector<std::string> expected;
    for (const int i : item.gold) expected.push_back(item.memories[i].text);
    // The question is no ground to stand on: repeating its words states nothing that is known.
    std::vector<std::string> grounding;
    for (const ItemMemory& memory : item.memories) grounding.push_back(memory.text);
    recall.Add(MemoryRecall(result.reply, item.question + " " + item.answer_prefix, expected));
    hallucination.Add(HallucinationRate(result.reply, grounding));
    if (expected.empty()) continue;
    bleu.Add(Bleu(result.reply, expected.front()));
    rouge.Add(RougeL(result.reply, expected.front()));
  }
  if (scores.n == 0) return scores;
  std::sort(times.begin(), times.end());
  Mean time;
  for (const double t : times) time.Add(t);
  scores.memory_recall = 100 * recall.value();
  scores.hallucination_rate = 100 * hallucination.value();
  scores.bleu = 100 * bleu.value();
  scores.rouge_l = 100 * rouge.value();
  scores.first_token_ms_mean = time.value();
  scores.first_token_ms_p50 = Percentile(times, 0.5);
  scores.first_token_ms_p95 = Percentile(times, 0.95);
  return scores;
}

}  // namespace

absl::StatusOr<SeedExperiment> MakeSeedExperiment(const std::string& name, uint64_t seed,
                                                  int items) {
  if (items < 5 || items > 10000)
    return InvalidArgument("items is %d; it must be from 5 to 10000", items);
  SeedExperiment experiment;
  if (name == "comparison") {
    experiment.suites.push_back(MakeSuite("persona_chat", PersonaFacts(), seed, items));
    experiment.suites.push_back(MakeSuite("memory_qa", WordFacts(), seed, items));
    experiment.arms = "vanilla,prompt_system,prompt_late,injected,default";
  } else if (name == "alpha_sensitivity") {
    experiment.suites.push_back(MakeSuite("memory_qa", WordFacts(), seed, items));
    experiment.arms =
        "vanilla,injected:alpha=0.2,injected:alpha=0.4,injected:alpha=0.6,injected:alpha=0.8,"
        "injected";
  } else {
    return InvalidArgument("there is no experiment %s: comparison or alpha_sensitivity", name);
  }
  return experiment;
}

std::vector<SeedScores> ScoreSeedExperiment(const SeedExperiment& experiment,
                                            const std::vector<KnownResult>& results) {
  std::map<std::pair<std::string, std::string>, std::map<std::string, const ItemResult*>> by_arm;
  for (const KnownResult& known : results)
    by_arm[{known.suite, known.arm}][known.id] = &known.result;
  std::vector<SeedScores> scores;
  for (const Suite& suite : experiment.suites) {
    for (size_t begin = 0; begin < experiment.arms.size();) {
      const size_t end = std::min(experiment.arms.size(), experiment.arms.find(',', begin));
      const std::string arm = experiment.arms.substr(begin, end - begin);
      begin = end + 1;
      scores.push_back(ScoreArm(suite, arm, by_arm[{suite.name, arm}]));
    }
  }
  return scores;
}

std::string SeedScoresJson(const std::string& name, const std::vector<SeedScores>& scores) {
  using Json = nlohmann::ordered_json;
  Json json = {{"experiment", name}};
  for (const SeedScores& s : scores) {
    Json& suite = json["suites"][s.suite];
    suite["n"] = s.n;
    suite["arms"][s.arm] = {{"memory_recall", s.memory_recall},
                            {"hallucination_rate", s.hallucination_rate},
                            {"bleu", s.bleu},
                            {"rouge_l", s.rouge_l},
                            {"first_token_ms", s.first_token_ms_mean},
                            {"first_token_ms_p50", s.first_token_ms_p50},
                            {"first_token_ms_p95", s.first_token_ms_p95}};
  }
  return json.dump(1) + "\n";
}

std::vector<std::vector<std::string>> SeedScoresTable(const std::vector<SeedScores>& scores) {
  std::vector<std::vector<std::string>> rows = {{"suite", "arm", "n", "recall %", "hallucination %",
                                                 "BLEU-4", "ROUGE-L", "first token ms", "p50",
                                                 "p95"}};
  for (const SeedScores& s : scores) {
    rows.push_back({s.suite, s.arm, std::to_string(s.n)});
    for (const double value : {s.memory_recall, s.hallucination_rate, s.bleu, s.rouge_l,
                               s.first_token_ms_mean, s.first_token_ms_p50, s.first_token_ms_p95})
      rows.back().push_back(absl::StrFormat("%.1f", value));
  }
  return rows;
}

}  // namespace dki::eval
