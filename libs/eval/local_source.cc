// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/local_source.h"

#include <map>
#include <utility>

#include "libs/base/mutex.h"
#include "libs/engine/engine.h"
#include "libs/engine/loaded_model.h"
#include "libs/engine/local_pack_source.h"
#include "libs/engine/serialized_model.h"
#include "libs/model/embedder.h"

namespace dki::eval {
namespace {

constexpr char kModelFile[] = "/SmolLM2-135M-Instruct.Q4_1.gguf";
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

class LocalSource : public AnswerSource {
 public:
  LocalSource(engine::LoadedModel loaded, std::unique_ptr<model::Embedder> embedder)
      : loaded_(std::move(loaded)),
        embedder_(std::move(embedder)),
        model_(loaded_.model.get()),
        packs_(&model_),
        engine_({}, &model_, loaded_.tokenizer.get(), loaded_.format.get(), &packs_) {
    // Every item is a conversation of its own: nothing would be found again.
    engine_.StopBackground();
  }

  absl::Status Prepare(const Item& item) override {
    std::vector<std::string> texts = {item.question};
    for (const ItemMemory& memory : item.memories) texts.push_back(memory.text);
    MutexLock lock(&mutex_);
    DKI_ASSIGN_OR_RETURN(const auto vectors, embedder_->Embed(texts));
    std::vector<double> cosines;
    for (size_t i = 1; i < vectors.size(); ++i) cosines.push_back(Cosine(vectors[0], vectors[i]));
    cosines_[item.id] = std::move(cosines);
    return absl::OkStatus();
  }

  absl::StatusOr<ItemResult> Answer(const Item& item, const Arm& arm) override {
    engine::RequestContext context;
    context.tenant_id = "eval";
    context.request_id = item.id;
    engine::Prompt prompt = MakePrompt(item, arm);
    engine::AnswerOptions options;
    options.max_tokens = kReplyTokens;
    DKI_ASSIGN_OR_RETURN(const engine::Answer answer,
                         engine_.Generate(context, prompt, options, nullptr));
    prompt.answer_prefix = item.answer_prefix;
    DKI_ASSIGN_OR_RETURN(const engine::ScoreResult score,
                         engine_.Score(context, prompt, item.answer));
    ItemResult result;
    result.reply = answer.text;
    result.prompt_tokens = answer.usage.prompt_tokens;
    result.injected_tokens = answer.usage.injected_tokens;
    result.exact = score.greedy_ids == score.token_ids;
    double sum = 0;
    for (const double p : score.log_probabilities) sum -= p;
    result.nll = sum / static_cast<double>(score.log_probabilities.size());
    return result;
  }

 private:
  engine::Prompt MakePrompt(const Item& item, const Arm& arm) {
    engine::Prompt prompt;
    prompt.history = item.history;
    prompt.turn = {"user", item.question};
    prompt.place = PlaceOf(arm.place);
    prompt.memory_required = true;
    if (arm.place == Place::kNone) return prompt;
    std::vector<double> cosines;
    {
      MutexLock lock(&mutex_);
      cosines = cosines_[item.id];
    }
    const WeighedItem weighed = Weigh(arm, cosines);
    for (size_t i = 0; i < weighed.kept.size(); ++i) {
      const ItemMemory& memory = item.memories[weighed.kept[i]];
      prompt.memories.push_back({memory.id, memory.text, weighed.alphas[i].read,
                                 weighed.alphas[i].answer, weighed.ranks[i]});
    }
    if (prompt.memories.empty()) prompt.place = engine::MemoryPlace::kNone;
    return prompt;
  }

  const engine::LoadedModel loaded_;
  Mutex mutex_;
  const std::unique_ptr<model::Embedder> embedder_;
  std::map<std::string, std::vector<double>> cosines_ ABSL_GUARDED_BY(mutex_);
  engine::SerializedModel model_;
  engine::LocalPackSource packs_;
  engine::Engine engine_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AnswerSource>> MakeLocalSource(const std::string& models) {
  DKI_ASSIGN_OR_RETURN(engine::LoadedModel loaded,
                       engine::LoadedModel::Load(models + kModelFile, {}));
  DKI_ASSIGN_OR_RETURN(auto embedder, model::Embedder::Load(models + kEmbedderFolder, 2));
  return std::make_unique<LocalSource>(std::move(loaded), std::move(embedder));
}

}  // namespace dki::eval
