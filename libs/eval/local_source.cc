// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/local_source.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "libs/base/mutex.h"
#include "libs/engine/engine.h"
#include "libs/engine/loaded_model.h"
#include "libs/engine/local_pack_source.h"
#include "libs/engine/pack_cache.h"
#include "libs/engine/serialized_model.h"
#include "libs/eval/make_random.h"
#include "libs/injection/known_calibrations.h"
#include "libs/injection/known_modulations.h"
#include "libs/model/embedder.h"
#include "libs/search/word_shares.h"

namespace dki::eval {
namespace {

constexpr char kModelFile[] = "/SmolLM2-135M-Instruct.Q4_1.gguf";
// Below, a token adds nothing to an entropy.
constexpr float kLeastLog = -80.0f;
constexpr char kEmbedderFolder[] = "/all-MiniLM-L6-v2";

engine::MemoryPlace PlaceOf(Place place) {
  switch (place) {
    case Place::kNone:
      return engine::MemoryPlace::kNone;
    case Place::kInjected:
      return engine::MemoryPlace::kInjected;
    case Place::kPromptLate:
      return engine::MemoryPlace::kPromptLate;
    case Place::kPromptSystem:
      return engine::MemoryPlace::kPromptSystem;
    case Place::kPromptUser:
      return engine::MemoryPlace::kPromptUser;
  }
  return engine::MemoryPlace::kNone;
}

// Vectors have unit length.
double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

// Mean over places of KL(p || q); both hold natural logarithms.
double MeanKl(const std::vector<std::vector<float>>& p, const std::vector<std::vector<float>>& q) {
  double sum = 0;
  for (size_t place = 0; place < p.size(); ++place) {
    for (size_t i = 0; i < p[place].size(); ++i) {
      const double log_p = p[place][i];
      sum += std::exp(log_p) * (log_p - q[place][i]);
    }
  }
  return p.empty() ? 0 : sum / static_cast<double>(p.size());
}

// By their names (ModulationOf).
using Modulations = std::map<std::string, std::shared_ptr<const injection::Modulation>>;

engine::RequestContext ContextOf(const Item& item) {
  engine::RequestContext context;
  context.tenant_id = "eval";
  context.request_id = item.id;
  return context;
}

class EngineSource : public LocalSource {
 public:
  EngineSource(const LocalOptions& options, engine::LoadedModel loaded,
               std::unique_ptr<model::Embedder> embedder, Modulations modulations,
               std::span<const Arm> arms)
      : kl_(options.kl),
        modulations_(std::move(modulations)),
        loaded_(std::move(loaded)),
        embedder_(std::move(embedder)),
        calibration_(injection::KnownCalibration(loaded_.model->config().fingerprint)),
        probes_(ProbesOf(arms, calibration_)),
        model_(loaded_.model.get()),
        computed_(&model_, *loaded_.format),
        packs_({.lifetime = std::chrono::minutes(10)}, &computed_),
        engine_({.block_format = model::kDefaultBlockFormat, .stats_listener = nullptr}, &model_,
                loaded_.tokenizer.get(), loaded_.format.get(), &packs_) {
    // Every item is a conversation of its own: nothing would be found again.
    engine_.StopBackground();
  }

  const std::string& model_fingerprint() const override {
    return loaded_.model->config().fingerprint;
  }

  std::vector<injection::AttentionHead> AllHeads() const override {
    std::vector<injection::AttentionHead> heads;
    for (int layer = 0; layer < loaded_.model->config().n_layers; ++layer) {
      for (int head = 0; head < loaded_.model->config().n_heads; ++head) {
        heads.push_back({layer, head});
      }
    }
    return heads;
  }

  absl::StatusOr<ItemEvidence> EvidenceOf(const Item& item,
                                          std::span<const Probe> probes) override {
    ItemEvidence evidence;
    evidence.question = item.question;
    for (const ItemMemory& memory : item.memories) {
      evidence.texts.push_back(memory.text);
      evidence.source_classes.push_back(memory.source_class);
    }
    DKI_ASSIGN_OR_RETURN(evidence.cosines, Cosines(item));
    const search::WordQuery query =
        search::MakeWordQuery(search::ExpandQuestion(item.question, {}));
    evidence.words = search::WordShares(query, evidence.texts);
    evidence.later = injection::AsksForOneState(item.question)
                         ? search::CoveredByLater(query, evidence.texts)
                         : std::vector<std::vector<int>>(evidence.texts.size());
    for (size_t i = 0; i < evidence.later.size(); ++i) {  // as the orchestrator
      if (injection::IsCapped(evidence.source_classes[i])) continue;
      std::erase_if(evidence.later[i],
                    [&](int later) { return injection::IsCapped(evidence.source_classes[later]); });
    }
    if (item.memories.empty()) return evidence;
    engine::Prompt prompt = PromptOf(item, Place::kInjected);
    for (const Probe& probe : probes) {
      prompt.composition = probe.composition;
      DKI_ASSIGN_OR_RETURN(const engine::ProbeResult seen,
                           engine_.Probe(ContextOf(item), prompt, probe.heads));
      ProbedShares& probed = evidence.probed.emplace_back(ProbedShares{probe, {}});
      for (const engine::ProbedMemory& memory : seen.memories) {
        probed.shares.push_back(memory.head_shares);
      }
    }
    return evidence;
  }

  absl::StatusOr<double> VanillaEntropy(const Item& item) override {
    // What is scored does not matter: the first distribution is that in front of it.
    DKI_ASSIGN_OR_RETURN(
        const engine::ScoreResult score,
        engine_.Score(ContextOf(item), PromptOf(item, Place::kNone), "Yes", {true}));
    double entropy = 0;
    for (const float log_p : score.distributions.front()) {
      if (log_p > kLeastLog) entropy -= std::exp(double{log_p}) * log_p;
    }
    return entropy;
  }

  absl::Status Prepare(const Item& whole) override {
    const Item item = VisiblePart(whole);
    Prepared prepared;
    DKI_ASSIGN_OR_RETURN(prepared.evidence, EvidenceOf(item, probes_));
    if (kl_) DKI_RETURN_IF_ERROR(PrepareVanilla(item, &prepared));
    MutexLock lock(&mutex_);
    prepared_[item.id] = std::make_shared<const Prepared>(std::move(prepared));
    return absl::OkStatus();
  }

  void Done(const Item& item) override {
    MutexLock lock(&mutex_);
    prepared_.erase(item.id);
  }

  absl::StatusOr<ItemResult> Answer(const Item& whole, const Arm& arm) override {
    const Item item = VisiblePart(whole);
    std::shared_ptr<const Prepared> prepared;
    {
      MutexLock lock(&mutex_);
      prepared = prepared_[item.id];
    }
    ItemResult result;
    engine::Prompt prompt = WeighedPrompt(item, arm, prepared->evidence, &result);
    engine::AnswerOptions options;
    options.max_tokens = kReplyTokens;
    const engine::RequestContext context = ContextOf(item);
    DKI_ASSIGN_OR_RETURN(engine::Answer answer,
                         engine_.Generate(context, prompt, options, nullptr));
    if (LeaveOut(arm.without, item.id, answer, &prompt)) {
      const std::string with = answer.text;
      DKI_ASSIGN_OR_RETURN(answer, engine_.Generate(context, prompt, options, nullptr));
      result.changed = answer.text != with;
    }
    result.reply = answer.text;
    result.prompt_tokens = answer.usage.prompt_tokens;
    result.cached_prompt_tokens = answer.usage.cached_prompt_tokens;
    result.injected_tokens = answer.usage.injected_tokens;
    if (prompt.place == engine::MemoryPlace::kInjected) {
      result.company_tokens = CompanyTokens(prompt, answer);
    }
    result.first_token_ms = static_cast<double>(answer.timings.first_token_us) / 1000.0;
    if (arm.place == Place::kInjected) Attribute(item, arm, prepared->evidence, &result);
    if (kl_) DKI_RETURN_IF_ERROR(MeasureKl(context, prompt, *prepared, &result));
    if (item.answer.empty()) return result;

    prompt.answer_prefix = item.answer_prefix;
    DKI_ASSIGN_OR_RETURN(const engine::ScoreResult score,
                         engine_.Score(context, prompt, item.answer));
    result.exact = score.greedy_ids == score.token_ids;
    double sum = 0;
    for (const double p : score.log_probabilities) sum -= p;
    result.nll = sum / static_cast<double>(score.log_probabilities.size());
    return result;
  }

 private:
  struct Prepared {
    ItemEvidence evidence;
    std::string vanilla_text;  // with kl
    std::vector<std::vector<float>> vanilla;
  };

  absl::StatusOr<std::vector<double>> Cosines(const Item& item) {
    std::vector<std::string> texts = {item.question};
    for (const ItemMemory& memory : item.memories) texts.push_back(memory.text);
    MutexLock lock(&embedder_mutex_);
    DKI_ASSIGN_OR_RETURN(const auto vectors, embedder_->Embed(texts));
    std::vector<double> cosines;
    for (size_t i = 1; i < vectors.size(); ++i) cosines.push_back(Cosine(vectors[0], vectors[i]));
    return cosines;
  }

  // With all memories, at weight 1.
  static engine::Prompt PromptOf(const Item& item, Place place) {
    engine::Prompt prompt;
    prompt.history = item.history;
    prompt.turn = {"user", item.question};
    prompt.place = PlaceOf(place);
    prompt.memory_required = true;
    if (place == Place::kNone) return prompt;
    for (const ItemMemory& memory : item.memories) {
      prompt.memories.push_back(
          {.memory_id = memory.id,
           .text = memory.text,
           .attributes = {.user_id = "", .source_class = memory.source_class}});
    }
    if (prompt.memories.empty()) prompt.place = engine::MemoryPlace::kNone;
    return prompt;
  }

  engine::Prompt WeighedPrompt(const Item& item, const Arm& arm, const ItemEvidence& evidence,
                               ItemResult* result) const {
    engine::Prompt prompt = PromptOf(item, Place::kNone);
    prompt.block_format = arm.format;
    if (arm.place == Place::kNone) return prompt;
    const WeighedItem weighed = Weigh(arm, evidence, calibration_);
    if (arm.place == Place::kInjected) {
      result->gated_out = !weighed.passed;
      result->probability = weighed.probability;
    }
    for (size_t i = 0; i < weighed.kept.size(); ++i) {
      const ItemMemory& memory = item.memories[weighed.kept[i]];
      prompt.memories.push_back(
          {.memory_id = memory.id,
           .text = memory.text,
           .alpha_read = weighed.alphas[i].read,
           .alpha_answer = weighed.alphas[i].answer,
           .rank = weighed.ranks[i],
           .attributes = {.user_id = "", .source_class = memory.source_class}});
    }
    prompt.composition = arm.composition;
    prompt.rule = arm.rule;
    if (arm.place == Place::kInjected) prompt.modulation = modulations_.at(ModulationOf(arm));
    prompt.gates = arm.gates;
    prompt.refinement = arm.refinement;
    prompt.history_attends = arm.sticky_history;
    prompt.max_pack_tokens = arm.budget;
    if (!prompt.memories.empty()) prompt.place = PlaceOf(arm.place);
    return prompt;
  }

  // Of the pack that was answered with.
  int CompanyTokens(const engine::Prompt& prompt, const engine::Answer& answer) const {
    std::vector<injection::PackMemoryText> texts;
    for (size_t i = 0; i < prompt.memories.size(); ++i) {
      const engine::Memory& memory = prompt.memories[i];
      if (answer.memories[i].dropped) continue;
      texts.push_back({memory.memory_id, memory.text, memory.attributes});
    }
    return injection::TokensInCompany(injection::PlanPack(
        *loaded_.format, "", "", "", texts, model::kDefaultBlockFormat, prompt.composition));
  }

  // Takes a memory out of the prompt that `answer` came from. False where there is none to take.
  static bool LeaveOut(Without without, const std::string& item_id, const engine::Answer& answer,
                       engine::Prompt* prompt) {
    if (without == Without::kNothing || prompt->place != engine::MemoryPlace::kInjected) {
      return false;
    }
    const auto top =
        std::ranges::max_element(answer.memories, {}, &engine::MemoryOutcome::attention_share) -
        answer.memories.begin();
    auto left_out = top;
    if (without == Without::kRandom) {
      if (prompt->memories.size() < 2) return false;
      left_out = static_cast<std::ptrdiff_t>(Random(1, item_id).Below(prompt->memories.size() - 1));
      if (left_out >= top) ++left_out;
    }
    prompt->memories.erase(prompt->memories.begin() + left_out);
    if (prompt->memories.empty()) prompt->place = engine::MemoryPlace::kNone;
    return true;
  }

  // By the arm's calibration, else the model's own.
  void Attribute(const Item& item, const Arm& arm, const ItemEvidence& evidence,
                 ItemResult* result) const {
    const injection::Calibration* calibration =
        arm.calibration != nullptr ? arm.calibration.get() : calibration_;
    if (item.gold.empty() || calibration == nullptr) return;
    const std::vector<double> looks = LookShares(*calibration, evidence);
    if (looks.empty()) return;
    double gold = 0;
    for (const int i : item.gold) gold += looks[i];
    const auto top = std::max_element(looks.begin(), looks.end()) - looks.begin();
    result->gold_share = gold;
    result->gold_is_top =
        std::find(item.gold.begin(), item.gold.end(), static_cast<int>(top)) != item.gold.end();
  }

  absl::Status PrepareVanilla(const Item& item, Prepared* prepared) {
    const engine::Prompt prompt = PromptOf(item, Place::kNone);
    engine::AnswerOptions options;
    options.max_tokens = kKlTokens;
    DKI_ASSIGN_OR_RETURN(const engine::Answer answer,
                         engine_.Generate(ContextOf(item), prompt, options, nullptr));
    prepared->vanilla_text = answer.text;
    if (answer.text.empty()) return absl::OkStatus();
    DKI_ASSIGN_OR_RETURN(engine::ScoreResult score,
                         engine_.Score(ContextOf(item), prompt, answer.text, {true}));
    prepared->vanilla = std::move(score.distributions);
    return absl::OkStatus();
  }

  absl::Status MeasureKl(const engine::RequestContext& context, const engine::Prompt& prompt,
                         const Prepared& prepared, ItemResult* result) {
    if (prepared.vanilla_text.empty()) return absl::OkStatus();
    DKI_ASSIGN_OR_RETURN(const engine::ScoreResult score,
                         engine_.Score(context, prompt, prepared.vanilla_text, {true}));
    result->kl = MeanKl(prepared.vanilla, score.distributions);
    return absl::OkStatus();
  }

  const bool kl_;
  const Modulations modulations_;
  const engine::LoadedModel loaded_;
  Mutex embedder_mutex_;
  const std::unique_ptr<model::Embedder> embedder_ ABSL_GUARDED_BY(embedder_mutex_);
  const injection::Calibration* const calibration_;
  const std::vector<Probe> probes_;
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<const Prepared>> prepared_ ABSL_GUARDED_BY(mutex_);
  engine::SerializedModel model_;
  engine::LocalPackSource computed_;
  engine::PackCache packs_;
  engine::Engine engine_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LocalSource>> MakeLocalSource(const LocalOptions& options,
                                                             std::span<const Arm> arms) {
  const std::string file = options.model.empty() ? options.models + kModelFile : options.model;
  DKI_ASSIGN_OR_RETURN(engine::LoadedModel loaded, engine::LoadedModel::Load(file, {}));
  DKI_ASSIGN_OR_RETURN(auto embedder, model::Embedder::Load(options.models + kEmbedderFolder, 2));
  Modulations modulations;
  std::set<std::string> names = {"", "none"};  // of any arm that says nothing
  for (const Arm& arm : arms) names.insert(ModulationOf(arm));
  for (const std::string& name : names) {
    auto modulation = injection::LoadModulation(name, loaded.model->config());
    if (!modulation.ok()) return Annotate(modulation.status(), "modulation=" + name);
    modulations[name] = *std::move(modulation);
  }
  return std::make_unique<EngineSource>(options, std::move(loaded), std::move(embedder),
                                        std::move(modulations), arms);
}

}  // namespace dki::eval
