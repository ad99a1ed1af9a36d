// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/calibrate_command.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "libs/base/file.h"
#include "libs/eval/ablate.h"
#include "libs/eval/calibrate.h"
#include "libs/eval/local_source.h"
#include "libs/injection/known_calibrations.h"
#include "tools/dki/cluster/layout.h"

namespace dki::cli {
namespace {

// Percent points that a suite may lose against weight 1.
constexpr double kSlack = 3.0;

absl::StatusOr<std::vector<eval::Suite>> ReadSuites(const CalibrateOptions& options) {
  DKI_ASSIGN_OR_RETURN(const std::vector<std::string> paths, eval::FindSuites(options.suite));
  std::vector<eval::Suite> suites;
  for (const std::string& path : paths) {
    DKI_ASSIGN_OR_RETURN(
        eval::Suite suite,
        eval::ReadSuite(path, {.n = options.n_test > 0 ? options.n + options.n_test : options.n}));
    suites.push_back(std::move(suite));
  }
  return suites;
}

absl::StatusOr<std::vector<std::vector<eval::LabelledItem>>> Label(
    const std::vector<eval::Suite>& suites, const eval::Probe& probe, bool with_entropy,
    eval::LocalSource* source, const Output& output) {
  std::vector<std::vector<eval::LabelledItem>> labelled;
  for (const eval::Suite& suite : suites) {
    labelled.emplace_back();
    for (const eval::Item& item : suite.items) {
      output.Progress(absl::StrFormat("probing %s, item %d of %d", suite.name,
                                      labelled.back().size() + 1, suite.items.size()));
      DKI_ASSIGN_OR_RETURN(eval::ItemEvidence evidence, source->EvidenceOf(item, {&probe, 1}));
      labelled.back().push_back({.cosines = std::move(evidence.cosines),
                                 .words = std::move(evidence.words),
                                 .later = std::move(evidence.later),
                                 .shares = {},
                                 .gold = item.gold,
                                 .needed = item.needed,
                                 .speaks_of_asker = injection::SpeaksOfAsker(item.question)});
      if (evidence.probed.empty()) continue;  // no memories
      if (with_entropy) {
        DKI_ASSIGN_OR_RETURN(labelled.back().back().entropy, source->VanillaEntropy(item));
      }
      labelled.back().back().shares = std::move(evidence.probed.front().shares);
    }
  }
  output.Progress("");
  return labelled;
}

// The suites' items that need their memories and ask a question of this kind; without empty suites.
std::vector<eval::Suite> OfKind(const std::vector<eval::Suite>& suites,
                                injection::QuestionKind kind, int most) {
  std::vector<eval::Suite> chosen;
  for (const eval::Suite& suite : suites) {
    eval::Suite some{suite.name, {}};
    for (const eval::Item& item : suite.items) {
      if (!item.needed || item.answer.empty()) continue;
      if (injection::ClassifyQuestion(item.question) != kind) continue;
      if (static_cast<int>(some.items.size()) == most) break;
      some.items.push_back(item);
    }
    if (!some.items.empty()) chosen.push_back(std::move(some));
  }
  return chosen;
}

absl::Status ChooseStrength(const std::vector<eval::Suite>& suites, const char* name,
                            injection::Strength injection::Calibration::*strength,
                            eval::LocalSource* source, const Output& output,
                            injection::Calibration* calibration) {
  const std::vector<injection::Strength> grid = eval::StrengthGrid();
  std::vector<eval::Arm> arms;
  for (const injection::Strength& setting : grid) {
    auto changed = std::make_shared<injection::Calibration>(*calibration);
    (*changed).*strength = setting;
    eval::Arm arm;
    arm.name = absl::StrFormat("%s: keep %g, beta %g, %g then %g", name, setting.keep, setting.beta,
                               setting.read, setting.answer);
    arm.place = eval::Place::kInjected;
    arm.is_default = arm.uses_calibration = true;
    arm.composition.kind = injection::CompositionKind::kAuto;
    arm.calibration = std::move(changed);
    arms.push_back(std::move(arm));
  }
  eval::RunOptions run;
  run.progress = [&](int done, int total) {
    output.Progress(absl::StrFormat("%s: %d of %d items", name, done, total));
  };
  DKI_ASSIGN_OR_RETURN(const auto results, eval::Run(suites, arms, source, run));
  output.Progress("");
  std::vector<std::vector<double>> right(arms.size());
  std::vector<std::vector<std::string>> rows = {{"% right replies"}};
  for (const auto& suite : results) rows[0].push_back(suite.name);
  for (size_t a = 0; a < arms.size(); ++a) {
    rows.push_back({arms[a].name});
    for (const auto& suite : results) {
      right[a].push_back(100.0 * suite.arms[a].right / suite.n);
      rows.back().push_back(absl::StrFormat("%.0f", right[a].back()));
    }
  }
  output.Table(rows);
  const int best = eval::BestStrength(right, kSlack);
  output.Line(absl::StrFormat("best: %s", arms[best].name));
  calibration->*strength = grid[best];
  return absl::OkStatus();
}

// Each suite's first `n` items are seen by the fits, the others tell.
absl::Status PrintAblation(const CalibrateOptions& options, const std::vector<eval::Suite>& suites,
                           const std::vector<std::vector<eval::LabelledItem>>& labelled,
                           size_t n_heads, const Output& output) {
  std::vector<std::vector<eval::LabelledItem>> seen;
  std::vector<std::vector<eval::LabelledItem>> unseen;
  for (const auto& items : labelled) {
    const auto cut = items.begin() + std::min<std::ptrdiff_t>(options.n, std::ssize(items));
    seen.emplace_back(items.begin(), cut);
    unseen.emplace_back(cut, items.end());
  }
  DKI_ASSIGN_OR_RETURN(const std::vector<eval::AblationRow> rows,
                       eval::Ablate(seen, unseen, n_heads, options.heads));
  std::vector<std::vector<std::string>> table = {{"inputs", "heads"}};
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const auto& [suite, auroc] : rows.front().auroc) table[0].push_back(suites[suite].name);
  table[0].push_back("gold on top, %");
  for (const eval::AblationRow& row : rows) {
    table.push_back({row.name, std::to_string(row.n_heads)});
    nlohmann::ordered_json one = {
        {"inputs", row.name}, {"heads", row.n_heads}, {"gold_on_top", row.gold_on_top}};
    for (const auto& [suite, auroc] : row.auroc) {
      table.back().push_back(absl::StrFormat("%.3f", auroc));
      one["auroc"][suites[suite].name] = auroc;
    }
    table.back().push_back(absl::StrFormat("%.1f", row.gold_on_top));
    json.push_back(std::move(one));
  }
  output.Table(table);
  return WriteFileAtomically(options.out, json.dump(1) + "\n");
}

}  // namespace

absl::Status RunCalibrate(Context& context, const CalibrateOptions& options) {
  const Output& output = context.output();
  DKI_ASSIGN_OR_RETURN(const std::vector<eval::Suite> suites, ReadSuites(options));
  const std::string models =
      options.models.empty() ? cluster::DefaultModelFolder() : options.models;
  DKI_ASSIGN_OR_RETURN(
      const auto source,
      eval::MakeLocalSource({.models = models, .model = options.model, .kl = false}, {}));
  injection::Calibration calibration;
  DKI_ASSIGN_OR_RETURN(calibration.probe, injection::ParseServedComposition(options.probe));
  const std::vector<injection::AttentionHead> heads = source->AllHeads();
  DKI_ASSIGN_OR_RETURN(const auto labelled, Label(suites, {calibration.probe, heads},
                                                  options.n_test > 0, source.get(), output));
  if (options.n_test > 0) return PrintAblation(options, suites, labelled, heads.size(), output);
  calibration.model_fingerprint = source->model_fingerprint();
  calibration.lookup = calibration.linked = calibration.judgement = eval::StrengthGrid()[0];
  DKI_RETURN_IF_ERROR(eval::FitCalibration(labelled, heads, options.heads, &calibration));
  if (options.n_replies == 0) {
    const auto* known = injection::KnownCalibration(calibration.model_fingerprint);
    if (known != nullptr) {
      calibration.lookup = known->lookup;
      calibration.linked = known->linked;
      calibration.judgement = known->judgement;
    }
    output.Line(injection::ToJson(calibration));
    return WriteFileAtomically(options.out, injection::ToJson(calibration));
  }
  output.Line(injection::ToJson(calibration));

  // Another source, which probes the chosen heads alone.
  eval::Arm probing;
  probing.calibration = std::make_shared<const injection::Calibration>(calibration);
  DKI_ASSIGN_OR_RETURN(
      const auto answering,
      eval::MakeLocalSource({.models = models, .model = options.model, .kl = false},
                            std::span(&probing, 1)));
  const auto lookups = OfKind(suites, injection::QuestionKind::kLookup, options.n_replies);
  const auto judgements = OfKind(suites, injection::QuestionKind::kJudgement, options.n_replies);
  if (!lookups.empty()) {
    DKI_RETURN_IF_ERROR(ChooseStrength(lookups, "lookup", &injection::Calibration::lookup,
                                       answering.get(), output, &calibration));
    calibration.linked = calibration.lookup;
    DKI_RETURN_IF_ERROR(ChooseStrength(lookups, "linked", &injection::Calibration::linked,
                                       answering.get(), output, &calibration));
  }
  if (!judgements.empty()) {
    DKI_RETURN_IF_ERROR(ChooseStrength(judgements, "judgement", &injection::Calibration::judgement,
                                       answering.get(), output, &calibration));
  }
  return WriteFileAtomically(options.out, injection::ToJson(calibration));
}

}  // namespace dki::cli
