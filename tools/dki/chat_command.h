// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki chat`: one question, or a conversation.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/dki/context.h"

namespace dki::cli {

struct ChatOptions {
  ScopeOptions scope;
  std::string question;  // empty: interactive
  std::string system;
  std::string mode = "injected";  // vanilla, prompt, injected
  std::string place;              // late, system, user
  std::optional<double> alpha;
  std::optional<int> k;
  std::optional<float> threshold;
  bool no_gate = false;
  std::string composition;
  std::string tag;
  bool explain = false;
  std::optional<int> max_tokens;
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
};

absl::Status Chat(Context& context, const ChatOptions& options);

}  // namespace dki::cli
