// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/explanation.h"

#include <map>

#include "libs/base/strings.h"

namespace dki::cli {
namespace {

std::string Milliseconds(int64_t us) {
  return absl::StrFormat("%.1f ms", us / 1000.0);
}
std::string Percent(double share) {
  return absl::StrFormat("%.2f %%", share * 100);
}

// What was decided, and the estimates that it went by.
std::string ChoiceCell(const common::v1::LoadChoice& choice) {
  const auto estimate = [](bool known, int64_t us) { return known ? Milliseconds(us) : "?"; };
  const std::string against =
      estimate(choice.has_load_estimate_us(), choice.load_estimate_us()) + " against " +
      estimate(choice.has_recompute_estimate_us(), choice.recompute_estimate_us());
  switch (choice.path()) {
    case common::v1::LoadChoice::PATH_LOAD:
      return "load: " + against;
    case common::v1::LoadChoice::PATH_RECOMPUTE:
      return "recompute: " + against;
    case common::v1::LoadChoice::PATH_EXPLORE:
      return "load to learn: " + against;
    default:
      return "-";
  }
}

// All that is known of one memory in a decision.
struct Line {
  const audit::v1::RetrievedMemory* retrieved = nullptr;
  const audit::v1::ChosenMemory* chosen = nullptr;
  const audit::v1::MemoryOutcome* outcome = nullptr;
  std::string text;
};

// Whether it passed the gate, or why it did not, or what weighs in its place.
std::string GateCell(const Line& line) {
  const bool superseded = line.retrieved != nullptr && !line.retrieved->superseded_by().empty();
  if (line.chosen != nullptr) return superseded ? "yes, superseded" : "yes";
  if (line.retrieved == nullptr) return "no";
  if (superseded && line.retrieved->gated()) return "superseded";
  if (line.retrieved->gated()) {
    return line.retrieved->reason().empty() ? "yes, not used" : line.retrieved->reason();
  }
  return line.retrieved->reason().empty() ? "no" : line.retrieved->reason();
}

std::vector<std::string> Cells(const Output& output, const Line& line, bool injected) {
  std::vector<std::string> cells;
  cells.push_back(
      output.Safe(Abbreviate(FoldNewlines(line.text.empty() ? "(erased)" : line.text), 48)));
  cells.push_back(line.retrieved != nullptr ? absl::StrFormat("%.3f", line.retrieved->cosine())
                                            : "-");
  cells.push_back(line.retrieved != nullptr && line.retrieved->has_word_share()
                      ? Percent(line.retrieved->word_share())
                      : "-");
  cells.push_back(line.retrieved != nullptr && line.retrieved->has_probe_share()
                      ? Percent(line.retrieved->probe_share())
                      : "-");
  cells.push_back(GateCell(line));
  if (!injected) return cells;
  const bool used = line.chosen != nullptr && line.outcome != nullptr && !line.outcome->dropped();
  cells.push_back(line.chosen == nullptr
                      ? "-"
                      : absl::StrFormat("%.2f → %.2f%s", line.chosen->alpha_read(),
                                        line.chosen->alpha_answer(),
                                        line.chosen->capped() ? " (capped)" : ""));
  cells.push_back(used ? Percent(line.outcome->attention_share()) : "-");
  cells.push_back(used ? Percent(line.outcome->attention_share_unbiased()) : "-");
  cells.push_back(used ? std::to_string(line.outcome->n_tokens()) : "-");
  cells.push_back(used ? TierName(line.outcome->tier())
                  : line.outcome != nullptr && line.outcome->dropped() ? "dropped"
                                                                       : "-");
  cells.push_back(used ? Milliseconds(line.outcome->load_us()) : "-");
  cells.push_back(used ? ChoiceCell(line.outcome->choice()) : "-");
  return cells;
}

// What the gate went by.
std::string GateReason(const audit::v1::DecisionRecord& decision) {
  if (!decision.has_answer_probability()) {
    return absl::StrFormat("cosine from %.2f on", decision.gate_threshold());
  }
  return absl::StrFormat("the memories hold the answer with %.0f %%, needed %.0f %%",
                         100.0 * decision.answer_probability(),
                         100.0 * decision.answer_threshold());
}

}  // namespace

std::string TierName(common::v1::Tier tier) {
  switch (tier) {
    case common::v1::TIER_DEVICE:
      return "device";
    case common::v1::TIER_RAM:
      return "ram";
    case common::v1::TIER_DISK:
      return "disk";
    case common::v1::TIER_REMOTE:
      return "remote";
    case common::v1::TIER_RECOMPUTED:
      return "computed";
    default:
      return "-";
  }
}

std::string ModeName(common::v1::Mode mode) {
  switch (mode) {
    case common::v1::MODE_VANILLA:
      return "vanilla";
    case common::v1::MODE_PROMPT:
      return "prompt";
    case common::v1::MODE_INJECTED:
      return "injected";
    default:
      return "unknown";
  }
}

void PrintExplanation(const Output& output, const orchestrator::v1::GetDecisionResponse& response) {
  const auto& decision = response.decision().decision();
  const auto& outcome = response.decision().outcome();
  std::vector<std::string> order;
  std::map<std::string, Line> lines;
  const auto at = [&](const std::string& id) -> Line& {
    const auto [entry, is_new] = lines.try_emplace(id);
    if (is_new) order.push_back(id);
    return entry->second;
  };
  for (const auto& m : decision.retrieved()) at(m.memory_id()).retrieved = &m;
  for (const auto& m : decision.chosen()) at(m.memory_id()).chosen = &m;
  for (const auto& m : outcome.memories()) at(m.memory_id()).outcome = &m;
  for (const auto& m : response.memories()) at(m.id()).text = m.text();

  output.Line(output.Bold(decision.decision_id()) +
              absl::StrFormat("  mode %s, gate: %s (%s)", ModeName(decision.mode()),
                              decision.gate(), GateReason(decision)));
  const bool injected = decision.mode() == common::v1::MODE_INJECTED;
  std::vector<std::vector<std::string>> rows = {{"memory", "cosine", "words", "probe", "gated"}};
  if (injected) {
    for (const char* name : {"α read → answer", "attention", "at α = 1", "tokens", "tier", "time",
                             "load or recompute"})
      rows[0].emplace_back(name);
  }
  for (const std::string& id : order) rows.push_back(Cells(output, lines[id], injected));
  if (rows.size() > 1) output.Table(rows);
  if (!response.decision().has_outcome()) {
    output.Line(output.Dim("the answer is not finished"));
    return;
  }
  const auto& usage = outcome.usage();
  if (injected) {
    output.Line(absl::StrFormat("header and footer of the notes: %s of the attention",
                                Percent(outcome.lead_in_share())) +
                (outcome.modulated() ? "; the question had changed the memories" : ""));
  }
  output.Line(absl::StrFormat(
      "prompt %d tokens (%d of them memories, %d cached), attended to beside the prompt %d, answer "
      "%d; %s",
      usage.prompt_tokens(), usage.memory_prompt_tokens(), usage.cached_prompt_tokens(),
      usage.injected_tokens(), usage.completion_tokens(), outcome.finish_reason()));
  const auto& t = outcome.timings();
  output.Line(absl::StrFormat("retrieve %s, probe %s, decide %s, pack %s, first token %s, total %s",
                              Milliseconds(t.retrieve_us()), Milliseconds(t.probe_us()),
                              Milliseconds(t.decide_us()), Milliseconds(t.pack_us()),
                              Milliseconds(t.first_token_us()), Milliseconds(t.total_us())));
  for (const std::string& part : decision.degraded()) output.Line(output.Red("without " + part));
  for (const std::string& part : outcome.degraded()) output.Line(output.Red("without " + part));
}

}  // namespace dki::cli
