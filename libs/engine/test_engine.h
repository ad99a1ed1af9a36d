// SPDX-License-Identifier: Apache-2.0
// What the engine's tests share: a model with packs computed in the process, and requests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libs/base/check.h"
#include "libs/engine/engine.h"
#include "libs/engine/loaded_model.h"
#include "libs/engine/local_pack_source.h"
#include "libs/engine/serialized_model.h"

namespace dki::engine {

class TestModel {
 public:
  explicit TestModel(const std::string& gguf_path, const std::string& activations = "auto") {
    absl::StatusOr<LoadedModel> loaded =
        LoadedModel::Load(gguf_path, {.n_threads = 2, .activations = activations});
    if (!loaded.ok()) fprintf(stderr, "%s\n", dki::ToString(loaded.status()).c_str());
    DKI_CHECK(loaded.ok());
    loaded_ = *std::move(loaded);
    model_ = std::make_unique<SerializedModel>(loaded_.model.get());
    packs_ = std::make_unique<LocalPackSource>(model_.get(), *loaded_.format);
  }

  std::unique_ptr<Engine> MakeEngine(Engine::Options options = {}) {
    return MakeEngine(options, packs_.get());
  }
  std::unique_ptr<Engine> MakeEngine(Engine::Options options, PackSource* packs) {
    return std::make_unique<Engine>(options, model_.get(), loaded_.tokenizer.get(),
                                    loaded_.format.get(), packs);
  }
  model::Model* model() { return model_.get(); }
  PromptLanguage language() const {
    return {&loaded_.model->config(), loaded_.tokenizer.get(), loaded_.format.get()};
  }

 private:
  LoadedModel loaded_;
  std::unique_ptr<SerializedModel> model_;
  std::unique_ptr<LocalPackSource> packs_;
};

inline RequestContext For(const std::string& tenant_id) {
  return {.tenant_id = tenant_id, .request_id = "r", .cancelled = nullptr};
}

inline Prompt Ask(const std::string& question) {
  Prompt prompt;
  prompt.system_prompt = "You answer briefly.";
  prompt.turn = {"user", question};
  return prompt;
}

inline Prompt WithHistory(Prompt prompt) {
  prompt.history = {{"user", "Hello there."}, {"assistant", "Hello, how can I help you?"}};
  return prompt;
}

// Memories at `alpha` in both phases, computed behind the prompt's own system prompt.
inline Prompt WithMemories(Prompt prompt, MemoryPlace place, double alpha) {
  prompt.place = place;
  prompt.context_system_prompt = prompt.system_prompt;
  const char* const texts[] = {"Jack's job is baker.", "Mary lives in Oslo.",
                               "The red box holds nails."};
  int rank = 0;
  for (const char* text : texts) {
    prompt.memories.push_back({.memory_id = "mem_" + std::to_string(rank),
                               .text = text,
                               .alpha_read = alpha,
                               .alpha_answer = alpha,
                               .rank = rank});
    ++rank;
  }
  return prompt;
}

inline AnswerOptions Tokens(int max_tokens) {
  AnswerOptions options;
  options.max_tokens = max_tokens;
  return options;
}

}  // namespace dki::engine
