// SPDX-License-Identifier: Apache-2.0
// Purpose: how a model family writes a conversation and a pack of memories, as token ids. Messages
// are rendered one by one,
//   so that the ids of a message never depend on its neighbours (tested equal to the whole
//   template's rendering), and message text is always encoded as plain text.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/status.h"
#include "libs/model/tokenizer.h"

namespace dki::model {

struct Message {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

class ChatFormat {
 public:
  // Picks the family's row (chat_family.h) by the chat template of a GGUF or of a folder as Hugging
  // Face writes it; a model without one gets the plain format. FAILED_PRECONDITION when no row
  // fits. `tokenizer` must outlive the result.
  static absl::StatusOr<std::unique_ptr<ChatFormat>> Create(const std::string& path,
                                                            const Tokenizer* tokenizer);
  virtual ~ChatFormat() = default;

  // The family's default system prompt, used where a request and the configuration name none.
  virtual std::string default_system_prompt() const = 0;

  // [shared prefix]: BOS (where the model has one), the system header and the system prompt.
  virtual std::vector<int32_t> RenderPrefix(std::string_view system_prompt) const = 0;
  // One message of the history or the turn. INVALID_ARGUMENT for an unknown role.
  virtual absl::StatusOr<std::vector<int32_t>> RenderMessage(const Message& message) const = 0;
  // What makes the model answer: the header of an assistant message.
  virtual std::vector<int32_t> RenderAnswerHeader() const = 0;
  // What follows an answer's own tokens (without the end token, which generation already has or
  // adds).
  virtual std::vector<int32_t> RenderAnswerFooter() const = 0;

  // The pack: header ("You remember these notes:" in a system message for ChatML), a line per
  // memory ("- text", trimmed, newlines folded, tokenised by itself), footer.
  virtual std::vector<int32_t> PackHeader() const = 0;
  virtual std::vector<int32_t> PackLine(std::string_view memory_text) const = 0;
  virtual std::vector<int32_t> PackFooter() const = 0;

  // Texts at which an answer is over, beside the tokens that end one: a model that was not taught
  // to chat goes on with the user's part.
  virtual std::vector<std::string> stop_texts() const { return {}; }
  // White space at the beginning of an answer belongs to the format, not to the answer.
  virtual bool trims_answers() const { return false; }
};

}  // namespace dki::model
