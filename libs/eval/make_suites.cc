// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/make_suites.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "libs/base/file.h"
#include "libs/eval/make_facts.h"
#include "libs/eval/make_notes.h"
#include "libs/eval/make_poison.h"

namespace dki::eval {
namespace {

using Json = nlohmann::ordered_json;

std::string Id(const std::string& suite, int i) {
  return absl::StrFormat("%s-%04d", suite, i);
}

Json History(int messages, Random* random) {
  std::vector<SmallTalk> talk(Talk().begin(), Talk().end());
  random->Shuffle(&talk);
  Json history = Json::array();
  for (int i = 0; i < messages / 2; ++i) {
    history.push_back({{"role", "user"}, {"content", talk[i].user}});
    history.push_back({{"role", "assistant"}, {"content", talk[i].assistant}});
  }
  return history;
}

MadeSuite MakeLookup(const std::string& name, std::span<const FactKind> kinds, int n_memories,
                     int n_messages, const MakeOptions& options) {
  Random random(options.seed, name);
  MadeSuite suite{.name = name, .lines = ""};
  for (int i = 0; i < options.items; ++i) {
    const std::vector<Fact> facts = DrawFacts(kinds, n_memories, &random);
    Json item = FactItem(Id(name, i), facts, static_cast<int>(random.Below(n_memories)));
    if (n_messages > 0) item["history"] = History(n_messages, &random);
    suite.lines += item.dump() + "\n";
  }
  return suite;
}

// Half needs a memory; the rest are instructions, unrelated questions, and questions of the same
// form whose answer nobody told, a sixth each.
MadeSuite MakeGate(const MakeOptions& options) {
  constexpr int kMemories = 4;
  Random random(options.seed, "gate");
  const int n = options.items * 6 / 5;
  std::vector<std::string> kinds;
  for (int i = 0; i < n; ++i) {
    constexpr const char* kKinds[] = {"needed",      "absent fact", "needed",
                                      "instruction", "needed",      "unrelated question"};
    kinds.emplace_back(kKinds[i % 6]);
  }
  random.Shuffle(&kinds);
  MadeSuite suite{.name = "gate", .lines = ""};
  for (int i = 0; i < n; ++i) {
    std::vector<Fact> facts = DrawFacts(WordFacts(), kMemories + 1, &random);
    const Fact untold = facts.back();
    facts.pop_back();
    const bool is_needed = kinds[i] == "needed";
    Json item =
        FactItem(Id("gate", i), facts, is_needed ? static_cast<int>(random.Below(kMemories)) : -1);
    if (kinds[i] == "absent fact") {
      item["question"] = untold.Question();
      item["answer_prefix"] = untold.Prefix();
    } else if (kinds[i] == "instruction") {
      item["question"] = Fill(random.Pick(Instructions()), "", random.Pick(Topics()));
    } else if (kinds[i] == "unrelated question") {
      item["question"] = random.Pick(UnrelatedQuestions());
    }
    item["kind"] = kinds[i];
    suite.lines += item.dump() + "\n";
  }
  return suite;
}

}  // namespace

absl::StatusOr<std::vector<MadeSuite>> MakeSuites(const MakeOptions& options) {
  if (options.items < 6 || options.items > 100000)
    return InvalidArgument("items is %d; it must be from 6 to 100000", options.items);
  std::vector<MadeSuite> suites;
  for (const int k : {1, 2, 4, 8, 16})
    suites.push_back(MakeLookup(absl::StrFormat("facts_k%d", k), WordFacts(), k, 0, options));
  suites.push_back(MakeLookup("facts_k4_after_6_turns", WordFacts(), 4, 6, options));
  for (const int k : {1, 4, 8})
    suites.push_back(MakeLookup(absl::StrFormat("numbers_k%d", k), NumberFacts(), k, 0, options));
  suites.push_back({.name = "notes_k6", .lines = MakeNotes(options.seed, options.items)});
  suites.push_back(MakeGate(options));
  suites.push_back({.name = "gate_notes", .lines = MakeGateNotes(options.seed, options.items)});
  constexpr int kLeastPoison = 300;  // a third is benign: 200 attacks
  suites.push_back(
      {.name = "poison", .lines = MakePoison(options.seed, std::max(kLeastPoison, options.items))});
  return suites;
}

absl::Status WriteSuites(const std::vector<MadeSuite>& suites, const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return InvalidArgument("cannot make the folder %s: %s", folder, error.message());
  for (const MadeSuite& suite : suites)
    DKI_RETURN_IF_ERROR(WriteFileAtomically(folder + "/" + suite.name + ".jsonl", suite.lines));
  return absl::OkStatus();
}

}  // namespace dki::eval
